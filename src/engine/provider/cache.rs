// SPDX-License-Identifier: MPL-2.0
//! Disk cache of the engines that providers compile, so that the next start is quick.
//!
//! Every graph has its own folder, named by a hash of everything that the engine depends on. It is filled
//! under a temporary name and renamed when complete, with a list of its files' checksums; a folder whose
//! files do not match the list is removed and built again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::choice::Choice;
use super::kinds::Provider;
use crate::engine::error::EngineError;
use crate::engine::log::CAT;
use crate::engine::runtime::Runtime;
use crate::files;

/// The list of a folder's files in the format of `sha256sum --check`: checksum, two blanks, name in each line.
const LIST: &str = "SHA256SUMS";

/// A folder that a provider reads from and writes to while a session is loaded.
pub(crate) struct Folder {
    path: PathBuf,
    /// Where to move it once it is filled; `None` for a folder in its final place.
    place: Option<PathBuf>,
}

impl Folder {
    /// Its present path, temporary or final.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder for a graph's engine; `None` without a cache directory, or if the provider gains nothing from one.
pub(crate) fn place(runtime: &Runtime, choice: &Choice, graph: &[u8]) -> Option<PathBuf> {
    let root = choice.options.cache_dir.as_ref()?;
    let keeps = match choice.provider {
        // Compiling for a CPU takes less time than OpenVINO's cache saves.
        Provider::OpenVino => choice.options.device.as_deref().unwrap_or("CPU") != "CPU",
        // TensorRT for RTX writes when a session ends, too late to put a folder in place.
        provider => matches!(provider, Provider::TensorRt | Provider::CoreMl),
    };
    keeps.then(|| root.join(name(runtime, choice, graph)))
}

/// Name of the folder: the provider and a hash of everything that the compiled engine depends on.
fn name(runtime: &Runtime, choice: &Choice, graph: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(graph);
    let mut options = (*choice.options).clone();
    options.cache_dir = None;
    let driver = fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let size = fs::metadata(runtime.path()).map_or(0, |file| file.len());
    hash.update(format!(
        "{:?} {:?} {options:?} {} {size} {driver}",
        choice.provider,
        choice.precision,
        runtime.version()
    ));
    format!("{}-{}", choice.provider.nick(), &hex(hash)[..32])
}

/// Loads a session through `make`, which gets the folder in `place`, or a new one that is moved there afterwards.
/// A cache that cannot be written is a warning in the log; then the session is loaded without one.
///
/// # Errors
/// That of `make` without a folder.
pub(crate) fn with_folder<T>(
    place: Option<PathBuf>,
    make: impl Fn(Option<&Folder>) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let Some(place) = place else {
        return make(None);
    };
    match check(&place) {
        Ok(true) => {
            let found = Folder {
                path: place.clone(),
                place: None,
            };
            match make(Some(&found)) {
                Ok(made) => return Ok(made),
                // Undamaged but refused by the provider, for instance after a change of the driver.
                Err(err) => gst::warning!(CAT, "{}: compiled again: {err}", place.display()),
            }
            let _ = fs::remove_dir_all(&place);
        }
        Ok(false) => (),
        Err(err) => {
            gst::warning!(CAT, "{}: damaged ({err}), compiled again", place.display());
            let _ = fs::remove_dir_all(&place);
        }
    }
    let not_kept = |err: io::Error| {
        let place = place.display();
        gst::warning!(
            CAT,
            "{place} is not kept: {err}. Set model-cache-dir to a folder that can be written."
        );
    };
    let folder = match begin(&place) {
        Ok(folder) => folder,
        Err(err) => {
            not_kept(err);
            return make(None);
        }
    };
    let made = make(Some(&folder));
    let kept = made.as_ref().map(|_| finish(&folder));
    // Fails if the folder was moved to its place.
    let _ = fs::remove_dir_all(&folder.path);
    match kept {
        Ok(Ok(())) => made,
        Ok(Err(err)) => {
            not_kept(err);
            made
        }
        // The provider may have failed because the disk is full.
        Err(_) => make(None),
    }
}

/// Creates a temporary folder beside `place`, under a name that no other thread or process uses.
fn begin(place: &Path) -> io::Result<Folder> {
    let root = place.parent().unwrap_or(place);
    let path = root.join(format!(".{}.partial", files::unique()));
    fs::create_dir_all(root)?;
    // Left behind by an earlier process with the same id.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path)?;
    Ok(Folder {
        path,
        place: Some(place.into()),
    })
}

/// Writes the list of files and moves the folder to its place, unless another process has already done so.
fn finish(folder: &Folder) -> io::Result<()> {
    let Some(place) = &folder.place else {
        return Ok(());
    };
    let mut list = String::new();
    for name in files(&folder.path)? {
        list += &format!("{}  {name}\n", checksum(&folder.path.join(&name))?);
    }
    if list.is_empty() {
        return Ok(());
    }
    fs::write(folder.path.join(LIST), list)?;
    match fs::rename(&folder.path, place) {
        Err(_) if place.is_dir() => Ok(()),
        result => result,
    }
}

/// Whether the folder exists.
///
/// # Errors
/// For a folder whose files do not match its list.
fn check(place: &Path) -> io::Result<bool> {
    if !place.exists() {
        return Ok(false);
    }
    let list = fs::read_to_string(place.join(LIST))?;
    for line in list.lines() {
        let (wanted, name) = line.split_once("  ").unwrap_or_default();
        if checksum(&place.join(name))? != wanted {
            return Err(io::Error::other(format!("{name} has changed")));
        }
    }
    Ok(true)
}

/// Paths of all files in a folder and its subfolders, relative to it and sorted.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let inner = files(&entry.path())?;
            names.extend(inner.iter().map(|file| format!("{name}/{file}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// SHA-256 of a file in hexadecimal.
fn checksum(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(file)?, &mut Hasher(&mut hash))?;
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adapter for `io::copy` into a hash.
struct Hasher<'a>(&'a mut Sha256);

impl io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A provider that compiles an engine unless the folder has one, and accepts only its own engines.
    #[derive(Default)]
    struct Fake {
        compiled: Cell<u32>,
        made: Cell<u32>,
        broken: Cell<bool>,
    }

    impl Fake {
        fn make(&self, folder: Option<&Folder>) -> Result<(), EngineError> {
            self.made.set(self.made.get() + 1);
            if self.broken.get() {
                return Err(EngineError::Refused("broken".into()));
            }
            let Some(folder) = folder else { return Ok(()) };
            let file = folder.path().join("inner/engine");
            if file.exists() {
                return match fs::read(&file) {
                    Ok(bytes) if bytes == b"engine" => Ok(()),
                    _ => Err(EngineError::Refused("another driver's".into())),
                };
            }
            self.compiled.set(self.compiled.get() + 1);
            fs::create_dir_all(folder.path().join("inner")).expect("a folder");
            fs::write(&file, "engine").expect("a file");
            Ok(())
        }

        fn load(&self, place: &Path) -> Result<(), EngineError> {
            with_folder(Some(place.into()), |folder| self.make(folder))
        }
    }

    #[test]
    fn an_engine_is_compiled_once_and_anew_when_damaged() {
        let root = tempfile::tempdir().expect("a folder");
        let place = root.path().join("engines/tensorrt-1");
        let file = place.join("inner/engine");
        let fake = Fake::default();
        for _ in 0..3 {
            fake.load(&place).expect("a session");
        }
        assert_eq!(fake.compiled.get(), 1);
        type Damage = fn(&Path, &Path);
        let damages: [Damage; 4] = [
            |_, file| fs::write(file, "enginf").expect("a file"),
            |_, file| fs::remove_file(file).expect("removed"),
            |place, _| fs::remove_file(place.join(LIST)).expect("removed"),
            // Whole, but refused by the provider.
            |place, file| {
                fs::write(file, "old").expect("a file");
                let sum = checksum(file).expect("a checksum");
                fs::write(place.join(LIST), format!("{sum}  inner/engine\n")).expect("a file");
            },
        ];
        for (count, damage) in damages.iter().enumerate() {
            damage(&place, &file);
            fake.load(&place).expect("a session");
            assert_eq!(fake.compiled.get() as usize, 2 + count);
            assert_eq!(fs::read(&file).expect("a file"), b"engine");
        }
        let left = fs::read_dir(root.path().join("engines")).expect("a folder");
        assert_eq!(left.count(), 1, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_kept_is_done_without() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("file");
        fs::write(&file, "no folder").expect("a file");
        let fake = Fake::default();
        fake.load(&file.join("tensorrt-1")).expect("a session");
        assert_eq!((fake.made.get(), fake.compiled.get()), (1, 0));
        assert_eq!(fs::read(&file).expect("untouched"), b"no folder");
    }

    /// A file may not grow beyond 4 KiB in a child process, which sees it as a disk that is full: where the
    /// provider writes its engine, and where the list of many small files is written.
    #[test]
    #[cfg(unix)]
    fn a_full_disk_costs_the_cache_and_nothing_else() {
        const CHILD: &str = "STYLIZE_CACHE_CHILD";
        if let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) {
            for (name, files, bytes) in [("one", 1, 64 << 10), ("many", 100, 16)] {
                let made = Cell::new(0);
                let session = with_folder(Some(root.join(name)), |folder| {
                    made.set(made.get() + 1);
                    let Some(folder) = folder else { return Ok(()) };
                    (0..files).try_for_each(|file| {
                        let path = folder.path().join(format!("engine-{file}"));
                        let written = fs::write(path, vec![7; bytes]);
                        written.map_err(|err| EngineError::Refused(err.to_string()))
                    })
                });
                assert_eq!(session, Ok(()), "{name}");
                // A provider that fails there is asked again without; a list that fails is the cache's own.
                assert_eq!(made.get(), if files == 1 { 2 } else { 1 }, "{name}");
            }
            return;
        }
        let root = tempfile::tempdir().expect("a folder");
        let test = "engine::provider::cache::tests::a_full_disk_costs_the_cache_and_nothing_else";
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().expect("this test"))
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, root.path())
            .output()
            .expect("a child process");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(said.contains("1 passed"), "it was run: {said}");
        let left = fs::read_dir(root.path()).expect("a folder");
        assert_eq!(left.count(), 0, "nothing is left over");
    }

    #[test]
    fn a_provider_that_fails_leaves_nothing_and_is_heard() {
        let root = tempfile::tempdir().expect("a folder");
        let fake = Fake::default();
        fake.broken.set(true);
        let error = fake.load(&root.path().join("tensorrt-1"));
        assert_eq!(error, Err(EngineError::Refused("broken".into())));
        assert_eq!(fake.made.get(), 2, "once with the folder and once without");
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0);
    }
}
