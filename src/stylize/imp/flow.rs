// SPDX-License-Identifier: MPL-2.0
//! A frame's way through the element.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{InputBuffer, PrepareOutputBufferSuccess};
use gst_base::subclass::prelude::*;

use super::{Stream, Stylize};
use crate::engine::{Canceller, EngineError, Lease};
use crate::graph::Frame;
use crate::stylize::report::Error;
use crate::stylize::settings;
use crate::stylize::stream::flight::Flights;
use crate::stylize::stream::frame::{self, Task};
use crate::stylize::stream::plan::{Outcome, Plan, Shown, Substitute};

/// How far before its time a frame gives way to the more urgent ones of other elements.
const AHEAD: Duration = Duration::from_millis(500);

impl Stylize {
    /// Takes style and transition from a custom event, as if the properties had been set.
    pub(crate) fn take_style(&self, structure: &gst::StructureRef) {
        let obj = self.obj();
        if let Ok(transition) = structure.get::<u64>("transition") {
            obj.set_property("transition", transition);
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
                stream.last = None;
            }
            stream.info = Some(info);
            stream.begin_anew();
            this.lookup(stream, &layout)?;
            this.describe(stream);
            Ok(())
        })
    }

    /// What is to be done for a frame, with the settings of this moment.
    fn plan(
        &self,
        stream: &mut Stream,
        inbuf: &gst::BufferRef,
        outbuf: &gst::BufferRef,
    ) -> Result<Plan, Error> {
        let info = stream.info.clone().ok_or(Error::NotNegotiated)?;
        let layout = frame::layout(&info, inbuf, outbuf)?;
        self.update_latency(&info);
        self.attend(stream, &layout)?;
        let session = self.lookup(stream, &layout)?;
        let session = session.map(|session| self.step(stream, &layout, session));
        let loading = session.is_none() && stream.refused.is_none();
        let task = match session {
            Some(session) => Some(self.task(stream, session, layout, info.clone(), inbuf)?),
            None => None,
        };
        let substitute = {
            let settings = self.settings.lock();
            match loading {
                true => settings.while_loading.substitute(),
                false => settings.on_error.substitute(),
            }
        };
        let last = stream.last.clone();
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
        if inbuf.flags().contains(gst::BufferFlags::DISCONT) {
            stream.begin_anew();
        }
        let player = stream.player.as_mut().ok_or(Error::NotNegotiated)?;
        self.begin_run(session.canceller())?;
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>();
        let time = segment.and_then(|segment| segment.to_running_time(inbuf.pts()));
        let deadline = self.deadline(time);
        let mut refused = Vec::new();
        let mask = {
            // Drawn without the lock.
            let settings = self.settings.lock().mask.clone();
            let size = (layout.width, layout.height);
            match session.masks() {
                true => Some(stream.masks.next(&settings, size, inbuf, &mut refused)?),
                false => None,
            }
        };
        let task = {
            let settings = self.settings.lock();
            let style = match stream.loading {
                // A new style may be one of the generator's that is being loaded.
                Some(_) => player.styling.at(&settings.style, time),
                None => player.styling.next(&settings.style, time, &mut refused),
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
            // The stream goes on in the style that it had.
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{error}"));
        }
        Ok(task)
    }

    /// Takes what was done for a frame into the statistics. The first of several failures in a row is
    /// a warning.
    fn count(&self, stream: &mut Stream, outcome: &Outcome) {
        if let Some(error) = &outcome.error
            && !stream.failing
        {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{error}"));
        }
        stream.failing = outcome.error.is_some();
        self.stats.lock().count(outcome);
        if let Shown::Painted(timing) = outcome.shown {
            self.watch(stream, timing);
        }
    }

    /// When a frame of this running time is due. No later than [`AHEAD`], so that a stream that is
    /// far ahead of its clock gets its turn, too; without a clock it is as if it were.
    fn deadline(&self, time: Option<gst::ClockTime>) -> Instant {
        let element = self.obj();
        let left = || {
            let due = element.base_time()? + time?;
            Some(due.saturating_sub(element.clock()?.time()))
        };
        let left = left().map_or(AHEAD, |left| Duration::from(left).min(AHEAD));
        Instant::now() + left
    }

    /// Sends a frame off; gives the one that departed first if no more may be in flight.
    pub(crate) fn depart(&self, inbuf: gst::Buffer) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let prepared = self.parent_prepare_output_buffer(InputBuffer::Readable(&inbuf))?;
        let PrepareOutputBufferSuccess::Buffer(outbuf) = prepared else {
            return Err(gst::FlowError::Error);
        };
        let mut plan = self
            .with_stream(|this, stream| this.plan(stream, &inbuf, &outbuf))
            .map_err(|err| self.failed(&err))?;
        // A frame that needs the one before goes alone.
        let alone = plan.task.as_ref().is_some_and(Task::remembers);
        let repeated = self.repeats(&plan, &inbuf);
        if alone || repeated {
            self.drain()?;
        }
        // Gone if the painting failed.
        if repeated && let Some(last) = self.stream.lock().last.clone() {
            plan.repeat(last);
        }
        let full = self.with_stream(|_, stream| {
            let flights = stream.flights.as_mut().ok_or(Error::NotNegotiated)?;
            flights.depart(plan, inbuf, outbuf);
            Ok(alone || flights.full())
        });
        match full {
            Ok(true) => self.land(),
            Ok(false) => Ok(None),
            Err(err) => Err(self.failed(&err)),
        }
    }

    /// Whether the last painting does for this frame, too.
    fn repeats(&self, plan: &Plan, source: &gst::Buffer) -> bool {
        let (interval, reuse) = {
            let settings = self.settings.lock();
            (settings.interval, settings.reuse)
        };
        let Some(task) = plan.task.as_ref().filter(|_| interval > 1 || reuse) else {
            return false;
        };
        let mut repeats = std::mem::take(&mut self.stream.lock().repeats);
        let repeated = repeats.decide(task, source, interval, reuse);
        self.stream.lock().repeats = repeats;
        repeated
    }

    /// The frame that departed first.
    fn land(&self) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let landed = self.with_stream(|this, stream| {
            let flights = stream.flights.as_mut();
            let Some((buffer, outcome)) = flights.and_then(Flights::land).transpose()? else {
                return Ok(None);
            };
            this.count(stream, &outcome);
            if stream.keeps_last && matches!(outcome.shown, Shown::Painted(_)) {
                stream.last = Some(buffer.clone());
            }
            Ok(Some(buffer))
        });
        match landed {
            Ok(buffer) => Ok(buffer),
            Err(err) => {
                // Nothing goes out after an error.
                self.discard();
                Err(self.failed(&err))
            }
        }
    }

    /// Forgets the frames in flight. Waits for those that were not given up.
    pub(crate) fn discard(&self) {
        let Some(mut flights) = self.stream.lock().flights.take() else {
            return;
        };
        while flights.land().is_some() {}
        self.stream.lock().flights = Some(flights);
    }

    /// Pushes all frames that are in flight: what comes next in the stream must not overtake them.
    pub(crate) fn drain(&self) -> Result<(), gst::FlowError> {
        while let Some(buffer) = self.land()? {
            self.obj().src_pad().push(buffer)?;
        }
        Ok(())
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
    fn with_stream<T>(
        &self,
        f: impl FnOnce(&Self, &mut Stream) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut stream = std::mem::take(&mut *self.stream.lock());
        let result = f(self, &mut stream);
        *self.stream.lock() = stream;
        result
    }

    /// Makes a session the one that a flush cancels; refuses while flushing.
    fn begin_run(&self, canceller: Canceller) -> Result<(), EngineError> {
        let mut cancel = self.cancel.lock();
        if cancel.flushing {
            return Err(EngineError::Cancelled);
        }
        cancel.current = Some(canceller);
        Ok(())
    }

    /// Ends the frames in flight as soon as their provider allows; nobody waits until it does.
    pub(crate) fn cancel_runs(&self) {
        let mut cancel = self.cancel.lock();
        cancel.flushing = true;
        if let Some(canceller) = &cancel.current {
            canceller.cancel();
        }
        cancel.pending.give_up();
    }

    pub(crate) fn allow_runs(&self) -> Result<(), EngineError> {
        let mut cancel = self.cancel.lock();
        cancel.flushing = false;
        cancel.current.as_ref().map_or(Ok(()), Canceller::reset)
    }
}
