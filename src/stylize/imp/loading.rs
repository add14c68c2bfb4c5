// SPDX-License-Identifier: MPL-2.0
//! Background loading: replaces the active generator between two frames, and looks up or compiles the
//! session for a frame.

use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{CAT, Stream, Stylize};
use crate::engine::{EngineError, Lease};
use crate::graph::Frame;
use crate::stylize::generator::active::{ActiveGenerator, Lookup};
use crate::stylize::generator::loading::Loading;
use crate::stylize::report::Error;
use crate::stylize::settings::Settings;
use crate::stylize::stats::nanoseconds;

impl Stylize {
    /// Replaces the active generator by one that has finished loading, and starts loading when the settings
    /// require another one. The active generator stays in use meanwhile, and if the load fails.
    ///
    /// # Errors
    /// That of a failed load, if no generator is active.
    pub(crate) fn update_generator(
        &self,
        stream: &mut Stream,
        layout: &Frame,
    ) -> Result<(), Error> {
        let wanted = self.settings.lock().revision();
        let mut overtaken = false;
        if let Some(loading) = &stream.loading {
            let Some(loaded) = loading.generator.poll() else {
                return Ok(());
            };
            let (revision, time) = (loading.revision, loading.begin.elapsed());
            stream.loading = None;
            match loaded {
                // The settings changed while it was loaded: skip the outdated generator.
                Ok(_) if stream.active.is_some() && revision.0 != wanted.0 => overtaken = true,
                Ok(generator) => {
                    self.announce_loaded(Ok(()), time);
                    self.warn(&generator);
                    if let Some(old) = stream.active.replace(generator) {
                        self.threads.dispose(old);
                    }
                    stream.refused = None;
                    self.update_info(stream);
                    self.update_streams(stream);
                }
                // Generator and style are separate properties; the load may have begun between setting the two.
                Err(_) if revision != wanted => overtaken = true,
                Err(err) => {
                    self.announce_loaded(Err(&err), time);
                    if stream.active.is_none() {
                        return Err(err);
                    }
                    gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{err}"));
                }
            }
        }
        if overtaken || stream.changes != wanted.0 {
            let settings = self.settings.lock().started_with(&stream.start);
            stream.changes = settings.changes;
            self.announce_loading(&settings);
            let generator = stream.active.as_ref();
            let below = generator.and_then(|generator| generator.ladder.below());
            let loading = Loading::start(&settings, Some(*layout), below, &self.threads)?;
            stream.loading = Some(loading);
        }
        Ok(())
    }

    /// The session for a frame and the memory layout that it was compiled for. `None` while it is being loaded
    /// or compiled, or if compiling failed and `on-error` allows the stream to continue.
    ///
    /// # Errors
    /// Those of the compiler and of loading; [`EngineError::Cancelled`] after a flush.
    pub(crate) fn lookup(
        &self,
        stream: &mut Stream,
        frame: &Frame,
        usual: &Frame,
    ) -> Result<Option<(Lease, Frame)>, Error> {
        let wait = stream.start.while_loading.substitute().is_none();
        let forgiving = stream.start.on_error.substitute().is_some();
        let Some(generator) = &mut stream.active else {
            return Ok(None);
        };
        let layout = generator.layout_for(frame, usual);
        if stream.refused == Some(layout) {
            return Ok(None);
        }
        if !generator.knows(&layout) {
            self.announce("compiling", |structure| {
                structure.set("width", layout.width as u32);
                structure.set("height", layout.height as u32);
            });
        }
        match generator.session(&layout, wait) {
            Ok(Lookup::Ready(session)) => Ok(Some((session, layout))),
            Ok(Lookup::Compiled(session, time)) => {
                gst::debug!(CAT, imp = self, "compiled for {layout:?} in {time:?}");
                self.stats.lock().count_compiled(time);
                self.warn(generator);
                self.update_info(stream);
                self.announce("compiled", |structure| {
                    structure.set("time", nanoseconds(time))
                });
                Ok(Some((session, layout)))
            }
            // Until the zero-copy session is ready, rows are repacked for the default layout.
            Ok(Lookup::Compiling) => Ok(generator.existing(usual).map(|session| (session, *usual))),
            // Interrupted by a flush; not an error of the graph.
            Err(err @ Error::Engine(EngineError::Cancelled)) => Err(err),
            Err(err) if forgiving => {
                stream.refused = Some(layout);
                gst::element_imp_warning!(self, gst::LibraryError::Failed, ("{err}"));
                Ok(None)
            }
            Err(err) => Err(err),
        }
    }

    /// Posts the generator's errors that do not stop the stream as warnings.
    fn warn(&self, generator: &ActiveGenerator) {
        for error in generator.warnings() {
            let message = gst::ResourceError::Write;
            gst::element_imp_warning!(self, message, ("{error}"));
        }
    }

    /// Updates the description of the session in `stats`, and logs it and posts `stylize-provider` when it
    /// changed.
    pub(crate) fn update_info(&self, stream: &Stream) {
        let (Some(generator), Some(info)) = (&stream.active, &stream.info) else {
            return;
        };
        let info = generator.session_info(info.width(), info.height());
        let old = {
            let mut stats = self.stats.lock();
            stats.rung = generator.ladder.rung();
            std::mem::replace(&mut stats.session, info.clone())
        };
        if info == old || !info.compiled() {
            return;
        }
        gst::info!(CAT, imp = self, "{}", info.line());
        if info.place() != old.place() || !old.compiled() {
            let structure = gst::Structure::builder("stylize-provider")
                .field("provider", info.provider)
                .field("precision", info.precision)
                .field("device", &info.device)
                .field("nodes", info.nodes)
                .field("nodes-on-cpu", info.nodes_on_cpu)
                .field("runtime", &info.runtime)
                .field("model", &info.model);
            self.post_element_message(structure.build());
        }
    }

    /// Posts that a generator is being loaded.
    pub(crate) fn announce_loading(&self, settings: &Settings) {
        let file = settings.model_file.as_ref();
        let model = file.map(|file| file.display().to_string());
        self.announce("loading", |structure| {
            structure.set("model", model.unwrap_or_default());
        });
    }

    /// Posts that the generator has been loaded in this time, or the error.
    pub(crate) fn announce_loaded(&self, outcome: Result<(), &Error>, time: Duration) {
        let state = if outcome.is_ok() { "loaded" } else { "failed" };
        self.announce(state, |structure| {
            structure.set("time", nanoseconds(time));
            if let Err(err) = outcome {
                structure.set("error", err.to_string());
            }
        });
    }

    /// Posts the element message `stylize-loading`.
    fn announce(&self, state: &str, fill: impl FnOnce(&mut gst::StructureRef)) {
        let mut structure = gst::Structure::builder("stylize-loading")
            .field("state", state)
            .build();
        fill(&mut structure);
        self.post_element_message(structure);
    }

    /// Posts an element message with this structure.
    pub(crate) fn post_element_message(&self, structure: gst::Structure) {
        let message = gst::message::Element::builder(structure).src(&*self.obj());
        // Fails only without a bus.
        let _ = self.obj().post_message(message.build());
    }
}
