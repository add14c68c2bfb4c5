// SPDX-License-Identifier: MPL-2.0
//! What is to be done for a frame, with the settings of this moment.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::{STYLE_EVENT, Stream, Stylize};
use crate::engine::{EngineError, Lease};
use crate::graph::Frame;
use crate::stylize::report::Error;
use crate::stylize::stream::frame::{self, Task};
use crate::stylize::stream::plan::{Plan, Substitute};
use crate::stylize::{properties, settings};

/// How far before its time a frame gives way to the more urgent ones of other elements.
const AHEAD: Duration = Duration::from_millis(500);

impl Stylize {
    /// Takes style and transition from a custom event, as if the properties had been set.
    pub(crate) fn take_style(&self, structure: &gst::StructureRef) {
        let obj = self.obj();
        match structure.get_optional::<u64>("transition") {
            Ok(Some(transition)) if transition > properties::LONGEST.nseconds() => {
                gst::element_imp_warning!(
                    self,
                    gst::LibraryError::Settings,
                    (
                        "The event {STYLE_EVENT} has transition={transition}, and the longest is {} nanoseconds. The transition stays.",
                        properties::LONGEST.nseconds()
                    )
                );
            }
            Ok(Some(transition)) => obj.set_property("transition", transition),
            Ok(None) => (),
            Err(err) => gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("The transition of the event {structure} is not understood: {err}. Give it as guint64, in nanoseconds.")
            ),
        }
        match structure.get::<Option<String>>("style") {
            Ok(style) => obj.set_property("style", style),
            Err(err) => gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("The event {structure} has no style: {err}. Give it the field style (string).")
            ),
        }
    }

    /// Posts an error, once.
    pub(crate) fn report(&self, error: &Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.post_error_message(error.message());
        }
    }

    /// Compiles for frames of these caps in their usual memory layout.
    pub(crate) fn prepare(&self, caps: &gst::Caps) -> Result<(), Error> {
        let info =
            gst_video::VideoInfo::from_caps(caps).map_err(|_| Error::Format(caps.to_string()))?;
        let layout = frame::usual_layout(&info)?;
        self.update_latency(&info);
        self.ask_whether_live();
        self.with_stream(|this, stream| {
            let picture =
                |info: &gst_video::VideoInfo| (info.format(), info.width(), info.height());
            if stream.info.as_ref().map(picture) != Some(picture(&info)) {
                this.history.lock().last = None;
            }
            stream.info = Some(info);
            stream.begin_anew();
            this.lookup(stream, &layout, &layout)?;
            this.describe(stream);
            Ok(())
        })
    }

    /// What is to be done for a frame, with the settings of this moment.
    pub(super) fn plan(
        &self,
        stream: &mut Stream,
        inbuf: &gst::BufferRef,
        outbuf: &gst::BufferRef,
    ) -> Result<Plan, Error> {
        let info = stream.info.clone().ok_or(Error::NotNegotiated)?;
        let (layout, usual) = (
            frame::layout(&info, inbuf, outbuf)?,
            frame::usual_layout(&info)?,
        );
        self.note_timings(stream);
        self.update_latency(&info);
        self.attend(stream, &usual)?;
        let session = self.lookup(stream, &layout, &usual)?;
        let session =
            session.map(|(session, layout)| (self.step(stream, &layout, session), layout));
        let loading = session.is_none() && stream.refused.is_none();
        let task = match session {
            Some((session, layout)) => {
                Some(self.task(stream, session, layout, info.clone(), inbuf)?)
            }
            None => None,
        };
        let substitute = match loading {
            true => stream.start.while_loading.substitute(),
            false => stream.start.on_error.substitute(),
        };
        let last = self.history.lock().last.clone();
        Ok(Plan {
            info,
            task,
            substitute: substitute.map(|substitute| match (substitute, last) {
                (settings::Substitute::Last, Some(last)) => Substitute::Last(last),
                _ => Substitute::Source,
            }),
        })
    }

    /// What is to be painted for a frame.
    fn task(
        &self,
        stream: &mut Stream,
        session: Lease,
        layout: Frame,
        info: gst_video::VideoInfo,
        inbuf: &gst::BufferRef,
    ) -> Result<Task, Error> {
        if (inbuf.flags()).intersects(gst::BufferFlags::DISCONT | gst::BufferFlags::GAP) {
            stream.begin_anew();
        }
        let player = stream.player.as_mut().ok_or(Error::NotNegotiated)?;
        self.begin_run(session.canceller())?;
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let time = segment.and_then(|segment| segment.to_running_time(inbuf.pts()));
        let deadline = self.deadline(time);
        let mut refused = Vec::new();
        // A copy: nothing is drawn, read or waited for under the lock.
        let settings = self.settings.lock().clone();
        if let Some(levels) = player.mask.take() {
            stream.masks.begin(levels);
        }
        let mask = match session.masks() {
            true => {
                let (masks, size) = (&mut stream.masks, (layout.width, layout.height));
                let threads = &self.threads;
                Some(masks.next(&settings.mask, size, inbuf, threads, &mut refused)?)
            }
            false => None,
        };
        let task = {
            let style = match stream.loading {
                // A new style may be one of the generator's that is being loaded.
                Some(_) => player.styling.at(&settings.style, time),
                None => (player.styling).next(&settings.style, time, &self.threads, &mut refused),
            };
            let (style, rest) = match mask {
                Some(_) => player.styling.apart(&settings.style, time),
                None => (style, None),
            };
            Task {
                session,
                info,
                layout,
                inference_height: player.inference_height(),
                strength: settings.strength as f32,
                split: settings.split,
                seed: settings.seed.into(),
                // A new style must not wait until something moves, and what comes after a gap has no
                // past.
                stability: match &stream.painted {
                    Some((before, below)) if *before == style && *below == rest => {
                        settings.weight_of_past()
                    }
                    _ => 0.0,
                },
                style,
                mask,
                rest,
                deadline,
            }
        };
        stream.painted = Some((task.style.clone(), task.rest.clone()));
        for error in refused {
            // The stream goes on with the style and the mask that it had.
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{error}"));
        }
        Ok(task)
    }

    /// When a frame of this running time is due. No later than [`AHEAD`], so that a stream that is
    /// far ahead of its clock gets its turn, too; without a clock it is as if it were.
    fn deadline(&self, time: Option<gst::ClockTime>) -> Instant {
        let element = self.obj();
        let left = || {
            let due = element.base_time()?.saturating_add(time?);
            Some(due.saturating_sub(element.clock()?.time()))
        };
        let left = left().map_or(AHEAD, |left| Duration::from(left).min(AHEAD));
        Instant::now() + left
    }

    /// Reports an error and says what upstream is told.
    pub(crate) fn failed(&self, error: &Error) -> gst::FlowError {
        match error {
            Error::Engine(EngineError::Cancelled) => gst::FlowError::Flushing,
            error => {
                self.report(error);
                gst::FlowError::Error
            }
        }
    }

    /// Takes what belongs to the stream out of its lock for as long as `f` runs. Only the streaming
    /// thread calls this.
    pub(super) fn with_stream<T>(
        &self,
        f: impl FnOnce(&Self, &mut Stream) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut stream = std::mem::take(&mut *self.stream.lock());
        let result = f(self, &mut stream);
        *self.stream.lock() = stream;
        result
    }
}
