// SPDX-License-Identifier: MPL-2.0
//! When to send what has come: picture and sound of one moment together, and no later than painting needs.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use gst::prelude::*;

/// So many frames' time there is for waiting, painting and encoding. A picture that takes longer is sent at
/// once, behind its sound.
const FRAMES: f64 = 3.0;

/// Makes the sinks of this bin, which must not have started, wait by the source's own pace. By default all
/// is as late as the first picture was, which had to wait for the generator.
pub fn keep(pipeline: &gst::Pipeline, bin: &gst::Bin, video: &gst::Pad, fps: f64) -> Result<()> {
    let sinks: Vec<_> = bin.iterate_sinks().into_iter().collect::<Result<_, _>>()?;
    for sink in &sinks {
        sink.set_property("async", false);
    }
    pipeline.set_latency(gst::ClockTime::from_nseconds((FRAMES / fps * 1e9) as u64));
    let least = AtomicI64::new(i64::MAX);
    video.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        // The picture that was the least late says how late they have to be.
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

/// By how much a buffer comes later than its time, ns; `None` before the clock runs.
fn late(pad: &gst::Pad, info: &gst::PadProbeInfo) -> Option<i64> {
    let now = pad.parent_element()?.current_running_time()?;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(info.buffer()?.pts())?;
    Some(now.nseconds() as i64 - time.nseconds() as i64)
}
