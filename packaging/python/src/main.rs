// SPDX-License-Identifier: MPL-2.0
//! `stylize` as `pip` installs it: looks whether GStreamer is there, says what to install if not, and becomes
//! the program in the Python package. It links nothing of GStreamer, or the system's loader would end it first.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PACKAGE: &str = "gst_plugin_stylize";

/// Libraries that the program is linked with, and Debian's packages of them.
const LIBRARIES: [(&str, &str); 5] = [
    ("libgstreamer-1.0.so.0", "libgstreamer1.0-0"),
    ("libgstvideo-1.0.so.0", "libgstreamer-plugins-base1.0-0"),
    ("libgstpbutils-1.0.so.0", "libgstreamer-plugins-base1.0-0"),
    ("libgstwebrtc-1.0.so.0", "libgstreamer-plugins-bad1.0-0"),
    ("libgstrtspserver-1.0.so.0", "libgstrtspserver-1.0-0"),
];

/// Plugins that nearly every file needs. Installed with the libraries, so that one command is enough.
const PLUGINS: &str = "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    gstreamer1.0-plugins-ugly gstreamer1.0-libav";

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
}

fn main() -> ExitCode {
    let missing: Vec<_> = LIBRARIES.iter().filter(|(name, _)| !loads(name)).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        eprintln!(
            "error: GStreamer is missing ({}). Install it: apt install {} {PLUGINS}",
            names.join(", "),
            packages.join(" ")
        );
        return ExitCode::from(1);
    }
    let Some(program) = program() else {
        eprintln!("error: the Python package {PACKAGE} does not lie beside this program: pip install --force-reinstall gst-plugin-stylize");
        return ExitCode::from(1);
    };
    let err = Command::new(&program).args(std::env::args_os().skip(1)).exec();
    eprintln!("error: {}: {err}", program.display());
    ExitCode::from(1)
}

fn loads(library: &str) -> bool {
    const RTLD_LAZY: c_int = 1;
    let Ok(name) = CString::new(library) else {
        return false;
    };
    // SAFETY: GStreamer's libraries do nothing when they are loaded.
    !unsafe { dlopen(name.as_ptr(), RTLD_LAZY) }.is_null()
}

/// The program in the package, from where `pip` puts the two: `bin` and `lib/python3.N/site-packages` of one folder, or,
/// with `--target`, `bin` and the packages themselves.
fn program() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?.canonicalize().ok()?;
    let prefix = here.parent()?.parent()?;
    let mut folders = vec![prefix.to_path_buf()];
    for lib in ["lib", "lib64"] {
        let pythons = std::fs::read_dir(prefix.join(lib)).into_iter().flatten().flatten();
        for python in pythons.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3")) {
            folders.extend(["site-packages", "dist-packages"].map(|name| python.path().join(name)));
        }
    }
    let program = |folder: &PathBuf| Path::join(folder, PACKAGE).join("bin/stylize");
    folders.iter().map(program).find(|program| program.is_file())
}
