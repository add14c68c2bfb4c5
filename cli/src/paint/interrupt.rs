// SPDX-License-Identifier: MPL-2.0
//! Ctrl-C. A film in one piece is ended early, so that the file is playable; with `--segments` and folders the process
//! ends, and the same command continues later.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use gst::prelude::*;

use super::source;
use crate::shared::animation::end_early;

/// The playing pipeline, and the unfinished file that it writes.
static CURRENT: Mutex<Option<(gst::glib::WeakRef<gst::Pipeline>, PathBuf)>> = Mutex::new(None);
/// Number of signals.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Installs the signal handler; to be called once. `early`: the first signal ends the film early, the second ends the
/// process. Otherwise the first one ends the process.
///
/// # Errors
/// If a handler is installed already.
pub fn watch_signal(early: bool) -> Result<()> {
    ctrlc::set_handler(move || {
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = current
            .as_ref()
            .and_then(|(pipeline, _)| pipeline.upgrade());
        match (COUNT.fetch_add(1, Ordering::SeqCst), pipeline) {
            (0, Some(pipeline)) if early => end_early(&pipeline),
            _ => {
                if let Some((_, part)) = current.as_ref() {
                    let _ = std::fs::remove_file(part);
                }
                if !early {
                    eprintln!("interrupted; the same command goes on");
                }
                std::process::exit(130);
            }
        }
    })?;
    Ok(())
}

/// Whether the film was ended early by a signal.
pub fn ended_early() -> bool {
    COUNT.load(Ordering::SeqCst) > 0
}

/// Final name of an output: a film that was ended early does not replace a complete one.
pub fn final_name(name: &Path) -> PathBuf {
    match ended_early() {
        true => interrupted_name(name),
        false => name.into(),
    }
}

/// File name of an interrupted film: the output's if that does not exist, else one beside it.
fn interrupted_name(output: &Path) -> PathBuf {
    if !output.exists() {
        return output.into();
    }
    let extension = output.extension().unwrap_or_default().to_string_lossy();
    output.with_extension(format!("interrupted.{extension}"))
}

/// Prints the duration of a film that was ended early.
pub fn report(name: &Path) {
    if !ended_early() {
        return;
    }
    let uri = std::path::absolute(name).ok();
    let uri = uri.and_then(|path| gst::glib::filename_to_uri(path, None).ok());
    let time = uri.and_then(|uri| source::duration(&uri).ok());
    let time = time.map_or(String::new(), |time| {
        format!("{:.1} s of ", time.nseconds() as f64 / 1e9)
    });
    eprintln!("interrupted: {} has {time}the film", name.display());
}

/// Registers the playing pipeline and its file.
pub fn set_current(pipeline: &gst::Pipeline, part: &Path) {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    *current = Some((pipeline.downgrade(), part.to_owned()));
}
