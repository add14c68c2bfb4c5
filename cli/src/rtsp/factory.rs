// SPDX-License-Identifier: MPL-2.0
//! The media factory for all styles: clients of the same style share a pipeline, and the number of pipelines is
//! limited.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::ObjectSubclassExt;
use gst_rtsp_server::prelude::*;

use super::channel::Channel;

mod imp {
    use std::io::Write;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use gst::glib;
    use gst::prelude::*;
    use gst_rtsp_server::prelude::*;
    use gst_rtsp_server::subclass::prelude::*;

    use super::{Channel, disable_sync};

    /// Settings of a factory.
    pub struct Setup {
        pub channel: Channel,
        /// Largest number of pipelines at a time.
        pub max_streams: usize,
    }

    /// Creates a pipeline for the style in a client's URL.
    #[derive(Default)]
    pub struct Factory {
        pub(super) setup: OnceLock<Setup>,
        medias: Mutex<Vec<glib::WeakRef<gst_rtsp_server::RTSPMedia>>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Factory {
        const NAME: &'static str = "StylizeRtspFactory";
        type Type = super::Factory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for Factory {}

    impl Factory {
        /// The media that exist.
        pub fn medias(&self) -> Vec<gst_rtsp_server::RTSPMedia> {
            let medias = self.medias.lock();
            let medias = medias.unwrap_or_else(PoisonError::into_inner);
            medias.iter().filter_map(glib::WeakRef::upgrade).collect()
        }
    }

    /// Prints why a client is refused; the client gets a status code only. Its URL is escaped and cut to 200
    /// characters.
    fn refuse(uri: &str, why: &str) {
        let shown: String = uri.chars().take(200).collect();
        let _ = writeln!(std::io::stderr(), "{shown:?}: {why}");
    }

    impl RTSPMediaFactoryImpl for Factory {
        fn gen_key(&self, url: &gst_rtsp::RTSPUrl) -> Option<glib::GString> {
            let style = self.setup.get()?.channel.style(&url.request_uri())?;
            Some(style.into())
        }

        fn construct(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst_rtsp_server::RTSPMedia> {
            let setup = self.setup.get()?;
            let uri = url.request_uri();
            if setup.channel.style(&uri).is_none() {
                refuse(&uri, "there is no such style");
                return None;
            }
            // Not called concurrently: the factory holds its lock around this.
            let there = self.medias().len();
            if there >= setup.max_streams {
                let why = format!(
                    "{there} styles are being painted already; start the server with a larger --max-streams"
                );
                refuse(&uri, &why);
                return None;
            }
            self.parent_construct(url)
        }

        fn create_element(&self, url: &gst_rtsp::RTSPUrl) -> Option<gst::Element> {
            let channel = &self.setup.get()?.channel;
            let uri = url.request_uri();
            let bin = channel.bin(&channel.style(&uri)?);
            let bin = bin.inspect_err(|err| refuse(&uri, &format!("{err:#}")));
            Some(bin.ok()?.upcast())
        }

        fn configure(&self, media: &gst_rtsp_server::RTSPMedia) {
            self.parent_configure(media);
            {
                let medias = self.medias.lock();
                let mut medias = medias.unwrap_or_else(PoisonError::into_inner);
                medias.retain(|media| media.upgrade().is_some());
                medias.push(media.downgrade());
            }
            let live = self
                .setup
                .get()
                .is_some_and(|setup| setup.channel.is_live());
            let pipeline = media.element().parent().and_downcast::<gst::Bin>();
            if let Some(pipeline) = pipeline.filter(|_| live) {
                pipeline.connect_deep_element_added(|_, _, element| {
                    if element.is::<gst_base::BaseSink>() {
                        disable_sync(element);
                        // The server sets the property at each PLAY.
                        element.connect_notify(Some("sync"), |element, _| disable_sync(element));
                    }
                });
            }
        }
    }
}

/// Makes a sink send without waiting for the clock. Otherwise everything would be as late as the first frame, which
/// waited for the client.
fn disable_sync(sink: &gst::Element) {
    if sink.property("sync") {
        sink.set_property("sync", false);
    }
}

glib::wrapper! {
    /// The media factory for all styles.
    pub struct Factory(ObjectSubclass<imp::Factory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

impl Factory {
    /// Creates pipelines of this channel, at most `max_streams` at a time.
    pub fn new(channel: Channel, max_streams: usize) -> Self {
        let factory: Self = glib::Object::new();
        let setup = imp::Setup {
            channel,
            max_streams,
        };
        // Fails only if it was set before, and the object is new.
        let _ = imp::Factory::from_obj(&factory).setup.set(setup);
        factory.set_shared(true);
        factory
    }

    /// Requests a key frame from all pipelines: a client that joins a playing one cannot decode anything before it.
    pub fn key_frame(&self) {
        for media in imp::Factory::from_obj(self).medias() {
            if let Some(pad) = media.stream(0).and_then(|stream| stream.srcpad()) {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                // Not handled, which is no error, where nothing is encoded yet.
                pad.send_event(event.build());
            }
        }
    }
}
