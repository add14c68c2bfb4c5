// SPDX-License-Identifier: MPL-2.0
//! Ctrl-C: a film by itself ends early, and is playable; what can go on later is left for later.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use gst::prelude::*;

/// What plays now, and the unfinished file it writes.
static CURRENT: Mutex<Option<(gst::glib::SendWeakRef<gst::Pipeline>, PathBuf)>> = Mutex::new(None);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Once, at the start. `early`: the first signal ends the film, the second the program.
pub fn watch_signal(early: bool) -> Result<()> {
    ctrlc::set_handler(move || {
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = current
            .as_ref()
            .and_then(|(pipeline, _)| pipeline.upgrade());
        match (COUNT.fetch_add(1, Ordering::SeqCst), pipeline) {
            (0, Some(pipeline)) if early => drop(pipeline.send_event(gst::event::Eos::new())),
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

/// From now on this plays.
pub fn playing(pipeline: &gst::Pipeline, part: &Path) {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    *current = Some((pipeline.downgrade().into(), part.to_owned()));
}
