// SPDX-License-Identifier: MPL-2.0
//! The virtual methods of `GstBaseTransform`.

use std::sync::atomic::Ordering;
use std::time::Instant;

use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;

use super::{CAT, Cancel, History, STYLE_EVENT, Stream, Stylize};
use crate::engine::exit;
use crate::stylize::caps;
use crate::stylize::generator::active::ActiveGenerator;
use crate::stylize::generator::loading::Loading;
use crate::stylize::report::Error;
use crate::stylize::stats::Stats;

impl BaseTransformImpl for Stylize {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = {
            let mut settings = self.settings.lock();
            settings.stable = settings.stability > 0.0;
            settings.clone()
        };
        self.announce_loading(&settings);
        let (generator, loading) = match settings.while_loading.substitute() {
            None => {
                let begin = Instant::now();
                let generator = ActiveGenerator::load(&settings, None, None, self.threads.clone());
                self.announce_loaded(generator.as_ref().map(drop), begin.elapsed());
                (Some(generator.map_err(|err| err.message())?), None)
            }
            Some(_) => {
                let loading = Loading::start(&settings, None, None, &self.threads);
                (None, Some(loading.map_err(|err| err.message())?))
            }
        };
        *self.stats.lock() = Stats::default();
        for flag in [&self.failed, &self.live, &self.late] {
            flag.store(false, Ordering::Relaxed);
        }
        let streams = match (settings.frames_in_flight, &generator) {
            (0, Some(generator)) => generator.streams(),
            // Before the generator is loaded, only the default of a provider set by name is known.
            (0, None) => settings.provider.streams(),
            (frames, _) => frames as usize,
        };
        self.streams.store(streams, Ordering::Relaxed);
        let start = settings.at_start();
        *self.cancel.lock() = Cancel::default();
        *self.history.lock() = History {
            keeps_last: start.holds(),
            ..History::default()
        };
        self.queue.open();
        self.threads.resume();
        *self.stream.lock() = Stream {
            active: generator,
            loading,
            changes: settings.changes,
            start,
            ..Stream::default()
        };
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.cancel_runs();
        self.stop_pushing();
        // Waits for the frames that are being painted, so that upstream's and downstream's pools have all of
        // their buffers back, then for a load in progress, which dropping `stream` cancels.
        self.queue.wait_until_released();
        let stream = std::mem::take(&mut *self.stream.lock());
        drop(stream);
        self.threads.join();
        *self.history.lock() = History::default();
        *self.cancel.lock() = Cancel::default();
        Ok(())
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        Some(gst_video::VideoInfo::from_caps(caps).ok()?.size())
    }

    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        othercaps: &gst::Caps,
    ) -> Option<usize> {
        // Not from `size`: a buffer with padding is larger than its caps say.
        self.unit_size(othercaps)
    }

    fn accept_caps(&self, direction: gst::PadDirection, caps: &gst::Caps) -> bool {
        if self.parent_accept_caps(direction, caps) {
            return true;
        }
        if direction != gst::PadDirection::Sink || !caps::is_raw_video(caps) {
            return false;
        }
        // Caps that cannot be stylized are accepted here so that `sink_event` can post an error that explains
        // why. Caps without an interlace mode are progressive.
        caps::refused(caps).is_some()
            || caps::with_progressive(caps)
                .is_some_and(|caps| self.parent_accept_caps(direction, &caps))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        exit::attend();
        match event.view() {
            gst::EventView::Caps(caps) => {
                if let Some(error) = caps::refused(caps.caps()) {
                    self.report(&error);
                    return false;
                }
            }
            gst::EventView::FlushStart(_) => {
                self.cancel_runs();
                let flushed = self.parent_sink_event(event);
                // Only after the flush has ended a push that the task may be blocked in.
                self.stop_pushing();
                return flushed;
            }
            gst::EventView::FlushStop(_) => {
                {
                    let mut stream = self.stream.lock();
                    stream.reset_history();
                    stream.discont = false;
                }
                // After a flush, errors are posted again.
                self.failed.store(false, Ordering::Relaxed);
                if let Err(err) = self.allow_runs() {
                    self.report(&Error::Engine(err));
                }
            }
            gst::EventView::CustomDownstream(custom) => {
                if let Some(structure) = custom.structure().filter(|s| s.has_name(STYLE_EVENT)) {
                    // Frames before the event are painted in the old style.
                    self.drain_in_order();
                    self.apply_style_event(structure);
                }
            }
            gst::EventView::Segment(_) | gst::EventView::Gap(_) => {
                self.stream.lock().reset_history()
            }
            _ => (),
        }
        if event.is_serialized() && event.type_() != gst::EventType::FlushStop {
            self.drain_before(event.type_());
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            self.note_qos(qos);
        }
        self.parent_src_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        if direction == gst::PadDirection::Sink && query.is_serialized() {
            self.drain_in_order();
        }
        let answered = BaseTransformImplExt::parent_query(self, direction, query);
        if answered
            && direction == gst::PadDirection::Src
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let (live, min, max) = latency.result();
            self.live.store(live, Ordering::Relaxed);
            let own = gst::ClockTime::from_nseconds(self.latency.load(Ordering::Relaxed));
            // The maximum grows only by what this element buffers; upstream must hold the rest.
            let held = gst::ClockTime::from_nseconds(self.held.load(Ordering::Relaxed));
            latency.set(
                live,
                min.saturating_add(own),
                max.map(|max| max.saturating_add(held)),
            );
        }
        answered
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        // Compiles for the default memory layout before the first frame arrives.
        self.prepare(incaps).map_err(|err| {
            self.report(&err);
            gst::loggable_error!(CAT, "{err}")
        })?;
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        Ok(())
    }

    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        let (Some(caps), _) = query.get_owned() else {
            return Err(gst::loggable_error!(CAT, "allocation query without caps"));
        };
        let info = gst_video::VideoInfo::from_caps(&caps)
            .map_err(|err| gst::loggable_error!(CAT, "{err}"))?;
        let offered = query.allocation_pools().next();
        let (pool, size, min, max) = offered.clone().unwrap_or((None, info.size() as u32, 0, 0));
        // In addition, the pool needs buffers for the frames in flight and for the last stylized frame; one
        // that is limited to fewer cannot be used.
        let extra = self.buffers_in_flight() + u32::from(self.history.lock().keeps_last);
        let min = min.saturating_add(extra);
        let known = query.find_allocation_meta::<gst_video::VideoMeta>();
        let (pool, max, described) = match pool {
            Some(pool) if max == 0 || max >= min => (pool, max, known.is_some()),
            _ => (gst_video::VideoBufferPool::new().upcast(), 0, true),
        };
        if described && pool.has_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META) {
            let mut config = pool.config();
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
            config.set_params(Some(&caps), size, min, max);
            // A pool may refuse and adjust the configuration; the base class reads the adjusted one.
            if let Err(err) = pool.set_config(config) {
                gst::debug!(CAT, imp = self, "the pool refused its configuration: {err}");
            }
        }
        match offered {
            Some(_) => query.set_nth_allocation_pool(0, Some(&pool), size, min, max),
            None => query.add_allocation_pool(Some(&pool), size, min, max),
        }
        self.parent_decide_allocation(query)
    }

    fn transform_meta<'a>(
        &self,
        _outbuf: &mut gst::BufferRef,
        meta: gst::MetaRef<'a, gst::Meta>,
        _inbuf: &'a gst::BufferRef,
    ) -> bool {
        // Geometry, format and colorimetry do not change; only metas about the source buffer's memory do not
        // apply to the new buffer.
        !meta.has_tag::<gst::meta::tags::Memory>()
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        inbuf: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Not `is_discont`, which stays set until the base class itself pushes a frame.
        let discont = inbuf.flags().contains(gst::BufferFlags::DISCONT);
        let flow = self.parent_submit_input_buffer(is_discont, inbuf)?;
        // The base class keeps the buffer for us unless QoS found it late.
        if self.queued_buffer().is_none() {
            self.stats.lock().dropped += 1;
            let mut stream = self.stream.lock();
            stream.discont = true;
            if discont {
                // The dropped frame carried the DISCONT flag, so the discontinuity must be handled here.
                stream.reset_history();
            }
        }
        Ok(flow)
    }

    fn before_transform(&self, inbuf: &gst::BufferRef) {
        // Control bindings are functions of stream time.
        let segment = self.obj().segment();
        if let Some(segment) = segment.downcast_ref::<gst::ClockTime>()
            && let Some(time) = segment.to_stream_time(inbuf.pts())
        {
            // Fails only if no property is controlled.
            let _ = self.obj().sync_values(time);
        }
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let output = match self.take_queued_buffer() {
            Some(inbuf) => self.process(inbuf)?,
            None => None,
        };
        Ok(output.map_or(
            GenerateOutputSuccess::NoOutput,
            GenerateOutputSuccess::Buffer,
        ))
    }
}
