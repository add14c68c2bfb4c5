// SPDX-License-Identifier: MPL-2.0
//! Running time by the segment of a pad.

use gst::prelude::*;

/// Running time of a timestamp by the segment of a pad; `None` without a segment, or outside of it. Timestamps alone are
/// no measure: those of `x264enc` begin at 1000 hours, and so does its segment.
pub fn running_time(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(time)
}
