// SPDX-License-Identifier: MPL-2.0
//! Synchronization of RTP output with a live source: picture and sound of the same running time are sent at the same
//! time, with the least delay that painting allows.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use gst::prelude::*;

use crate::shared::time::running_time;

/// Latency in frame durations for waiting, painting and encoding. A frame that takes longer is sent at once, after its
/// sound.
const FRAMES: f64 = 3.0;

/// Synchronizes the sinks of this bin, which must not have started, with the arrival times of the source. By default
/// the base time would be that of the first frame, which waited for the generator to load, and everything would be
/// delayed by that.
///
/// # Errors
/// If the bin's sinks cannot be listed.
pub fn synchronize(
    pipeline: &gst::Pipeline,
    bin: &gst::Bin,
    video: &gst::Pad,
    fps: f64,
) -> Result<()> {
    let sinks: Vec<_> = bin.iterate_sinks().into_iter().collect::<Result<_, _>>()?;
    for sink in &sinks {
        sink.set_property("async", false);
    }
    pipeline.set_latency(gst::ClockTime::from_nseconds((FRAMES / fps * 1e9) as u64));
    let least = AtomicI64::new(i64::MAX);
    video.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        // The smallest lateness so far is the offset between the source's timestamps and the clock.
        if let Some(late) = late(pad, info)
            && late < least.fetch_min(late, Ordering::Relaxed)
        {
            for sink in &sinks {
                sink.set_property("ts-offset", late);
            }
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Running time of the pipeline minus that of a buffer, ns; `None` before the clock runs.
fn late(pad: &gst::Pad, info: &gst::PadProbeInfo) -> Option<i64> {
    let now = pad.parent_element()?.current_running_time()?;
    let time = running_time(pad, info.buffer()?.pts())?;
    Some(now.nseconds() as i64 - time.nseconds() as i64)
}
