// SPDX-License-Identifier: MPL-2.0
//! Concatenates the streams of the pieces.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use gst::prelude::*;

/// Makes the output of `gdpdepay`, which reads all pieces, one stream with one segment and one EOS.
///
/// # Errors
/// If the element lacks pads.
pub fn seamless(depay: &gst::Element) -> Result<()> {
    let into = depay.static_pad("sink").context("no pad")?;
    let out = depay.static_pad("src").context("no pad")?;
    let state = Arc::new(Mutex::new(Seam::default()));
    let shared = state.clone();
    into.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let (Some(event), Ok(mut seam)) = (info.event(), shared.lock()) {
            seam.last = event.type_() == gst::EventType::Eos;
        }
        gst::PadProbeReturn::Ok
    });
    let types = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    out.add_probe(types, move |_, info| {
        let Ok(mut seam) = state.lock() else {
            return gst::PadProbeReturn::Handled;
        };
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => seam.event(event),
            Some(gst::PadProbeData::Buffer(buffer)) => seam.buffer(buffer.make_mut()),
            _ => gst::PadProbeReturn::Ok,
        }
    });
    Ok(())
}

#[derive(Default)]
struct Seam {
    /// Segment time and segment start: of the first piece, and of the current one.
    first: Option<(gst::ClockTime, gst::ClockTime)>,
    this: Option<(gst::ClockTime, gst::ClockTime)>,
    /// Caps that were sent downstream.
    caps: Option<gst::Caps>,
    /// Whether the current piece is the last one.
    last: bool,
}

impl Seam {
    fn event(&mut self, event: &mut gst::Event) -> gst::PadProbeReturn {
        match event.view() {
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                self.this = segment.as_ref().and_then(|s| Some((s.time()?, s.start()?)));
                if self.first.is_some() {
                    return gst::PadProbeReturn::Handled;
                }
                self.first = self.this;
                if let Some(mut segment) = segment {
                    // The segment must not end with the first piece.
                    segment.set_stop(gst::ClockTime::NONE);
                    *event = gst::event::Segment::new(&segment);
                }
                gst::PadProbeReturn::Ok
            }
            // At the start of each piece the parser's caps have fewer fields than those of the first, and muxers accept
            // no change of caps.
            gst::EventView::Caps(caps) => {
                let caps = caps.caps_owned();
                let known = self
                    .caps
                    .as_ref()
                    .is_some_and(|known| known.is_subset(&caps));
                if known {
                    return gst::PadProbeReturn::Handled;
                }
                self.caps = Some(caps);
                gst::PadProbeReturn::Ok
            }
            gst::EventView::Eos(_) if !self.last => gst::PadProbeReturn::Handled,
            gst::EventView::StreamStart(_) if self.first.is_some() => gst::PadProbeReturn::Handled,
            _ => gst::PadProbeReturn::Ok,
        }
    }

    /// Moves timestamps to the segment of the first piece.
    fn buffer(&self, buffer: &mut gst::BufferRef) -> gst::PadProbeReturn {
        let (Some(first), Some(this)) = (self.first, self.this) else {
            return gst::PadProbeReturn::Handled;
        };
        let moved = |at: gst::ClockTime| (at + this.0 + first.1).checked_sub(this.1 + first.0);
        let (pts, dts) = (buffer.pts().and_then(moved), buffer.dts().and_then(moved));
        buffer.set_pts(pts);
        buffer.set_dts(dts);
        gst::PadProbeReturn::Ok
    }
}
