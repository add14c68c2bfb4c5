// SPDX-License-Identifier: MPL-2.0
//! Plans the work for a frame: applies changed settings, selects the session, and collects the inputs of its
//! run.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::output::Turn;
use super::{STYLE_EVENT, Stream, Stylize};
use crate::engine::{EngineError, Lease};
use crate::graph::Frame;
use crate::stylize::report::Error;
use crate::stylize::stream::delays::Delays;
use crate::stylize::stream::frame::{self, Task};
use crate::stylize::stream::plan::{Plan, Substitute};
use crate::stylize::{properties, settings};

/// Maximum distance of a deadline on a shared session, so that a stream far ahead of the clock is not starved by
/// more urgent ones.
const AHEAD: Duration = Duration::from_millis(500);

impl Stylize {
    /// Takes style and transition from a custom event, as if the properties had been set.
    pub(crate) fn apply_style_event(&self, structure: &gst::StructureRef) {
        let obj = self.obj();
        match structure.get_optional::<u64>("transition") {
            Ok(Some(transition)) if transition > properties::LONGEST.nseconds() => {
                gst::element_imp_warning!(
                    self,
                    gst::LibraryError::Settings,
                    (
                        "The event {STYLE_EVENT} has transition={transition}, more than the maximum of {} nanoseconds. The property transition keeps its value.",
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

    /// Posts an error message, unless one was posted and nothing has succeeded since (`failed`).
    pub(crate) fn report(&self, error: &Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.post_error_message(error.message());
        }
    }

    /// Compiles the session for frames of these caps in their default memory layout.
    ///
    /// # Errors
    /// Those of the compiler and of loading, unless `on-error` allows the stream to continue.
    pub(crate) fn prepare(&self, caps: &gst::Caps) -> Result<(), Error> {
        let info =
            gst_video::VideoInfo::from_caps(caps).map_err(|_| Error::Format(caps.to_string()))?;
        let layout = frame::usual_layout(&info)?;
        self.update_latency(&info);
        self.query_upstream_live();
        self.with_stream(|this, stream| {
            let picture =
                |info: &gst_video::VideoInfo| (info.format(), info.width(), info.height());
            if stream.info.as_ref().map(picture) != Some(picture(&info)) {
                let mut history = this.history.lock();
                history.last = None;
                history.delays = Delays::default();
            }
            stream.info = Some(info);
            stream.reset_history();
            this.lookup(stream, &layout, &layout)?;
            this.update_info(stream);
            Ok(())
        })
    }

    /// The work for a frame with the present settings; for a frame that is to be painted, also the session and
    /// the deadline.
    ///
    /// # Errors
    /// Those of the frame's memory, the mask, the compiler and of loading.
    pub(super) fn plan(
        &self,
        stream: &mut Stream,
        inbuf: &gst::BufferRef,
        outbuf: &gst::BufferRef,
    ) -> Result<(Plan, Option<Turn>), Error> {
        let info = stream.info.clone().ok_or(Error::NotNegotiated)?;
        let (layout, usual) = (
            frame::layout(&info, inbuf, outbuf)?,
            frame::usual_layout(&info)?,
        );
        self.note_timings(stream);
        self.update_latency(&info);
        self.update_generator(stream, &usual)?;
        let session = self.lookup(stream, &layout, &usual)?;
        let session =
            session.map(|(session, layout)| (self.adapt_size(stream, &layout, session), layout));
        let loading = session.is_none() && stream.refused.is_none();
        let painting = session
            .map(|(lease, layout)| self.task(stream, lease, layout, info.clone(), inbuf))
            .transpose()?;
        let (task, turn) = painting.unzip();
        let substitute = match loading {
            true => stream.start.while_loading.substitute(),
            false => stream.start.on_error.substitute(),
        };
        let last = self.history.lock().last.clone();
        let plan = Plan {
            info,
            task,
            substitute: substitute.map(|substitute| match (substitute, last) {
                (settings::Fallback::Last, Some(last)) => Substitute::Last(last),
                _ => Substitute::Source,
            }),
        };
        Ok((plan, turn))
    }

    /// The inputs of the run that paints a frame.
    fn task(
        &self,
        stream: &mut Stream,
        lease: Lease,
        layout: Frame,
        info: gst_video::VideoInfo,
        inbuf: &gst::BufferRef,
    ) -> Result<(Task, Turn), Error> {
        if (inbuf.flags()).intersects(gst::BufferFlags::DISCONT | gst::BufferFlags::GAP) {
            stream.reset_history();
        }
        let generator = stream.active.as_mut().ok_or(Error::NotNegotiated)?;
        self.begin_run(lease.canceller())?;
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let time = segment.and_then(|segment| segment.to_running_time(inbuf.pts()));
        let deadline = self.deadline(time);
        let mut refused = Vec::new();
        // A copy, so that masks and styles are not computed under the lock.
        let settings = self.settings.lock().clone();
        if let Some(levels) = generator.mask.take() {
            stream.masks.begin(levels);
        }
        let mask = match lease.masks() {
            true => {
                let (masks, size) = (&mut stream.masks, (layout.width, layout.height));
                let threads = &self.threads;
                Some(masks.next(&settings.mask, size, inbuf, threads, &mut refused)?)
            }
            false => None,
        };
        let task = {
            let style = match stream.loading {
                // A new style may belong to the generator that is being loaded, so it is not looked up here.
                Some(_) => generator.styling.at(&settings.style, time),
                None => {
                    (generator.styling).next(&settings.style, time, &self.threads, &mut refused)
                }
            };
            let (style, rest) = match mask {
                Some(_) => generator.styling.inside_and_outside(&settings.style, time),
                None => (style, None),
            };
            Task {
                runner: lease.runner(),
                info,
                layout,
                inference_height: generator.inference_height(),
                strength: settings.strength as f32,
                split: settings.split,
                seed: settings.seed.into(),
                // A change of style applies at once, also where nothing moves; after a gap there is no
                // previous frame to blend with.
                stability: match &stream.painted {
                    Some((before, below)) if *before == style && *below == rest => {
                        settings.weight_of_past()
                    }
                    _ => 0.0,
                },
                style,
                mask,
                rest,
            }
        };
        stream.painted = Some((task.style.clone(), task.rest.clone()));
        for error in refused {
            // Not fatal: the previous style and mask stay in use.
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{error}"));
        }
        Ok((task, Turn { lease, deadline }))
    }

    /// The time at which a frame with this running time is due on the pipeline clock, at most [`AHEAD`] from now;
    /// without a clock, [`AHEAD`] from now.
    fn deadline(&self, time: Option<gst::ClockTime>) -> Instant {
        let element = self.obj();
        let left = || {
            let due = element.base_time()?.saturating_add(time?);
            Some(due.saturating_sub(element.clock()?.time()))
        };
        let left = left().map_or(AHEAD, |left| Duration::from(left).min(AHEAD));
        Instant::now() + left
    }

    /// Posts an error, unless it is a cancellation by a flush, and maps it to a flow return.
    pub(crate) fn failed(&self, error: &Error) -> gst::FlowError {
        match error {
            Error::Engine(EngineError::Cancelled) => gst::FlowError::Flushing,
            error => {
                self.report(error);
                gst::FlowError::Error
            }
        }
    }

    /// Takes the [`Stream`] out of its lock while `f` runs, so that no lock is held across inference or
    /// messages. Called by the streaming thread only.
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
