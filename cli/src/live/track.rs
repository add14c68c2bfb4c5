// SPDX-License-Identifier: MPL-2.0
//! A media track of a viewer: from the encoder's frames or sound, as RTP, to `webrtcbin`.

use anyhow::{Context, Result};
use gst::prelude::*;
use gst_utils::{ConsumptionLink, StreamProducer};
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection};

use super::offer;
use super::output::Output;

/// A video or audio track.
pub struct Track<'a> {
    place: offer::Place,
    pub producer: &'a StreamProducer,
    payloader: gst::Element,
    /// RTP caps.
    caps: gst::Caps,
}

impl<'a> Track<'a> {
    pub fn video(output: &'a Output, place: offer::Place) -> Result<Self> {
        let payloader = gst::ElementFactory::make("rtph264pay")
            // Below the MTU of all usual paths, with room for SRTP and other headers.
            .property("mtu", 1200_u32)
            .property("config-interval", -1)
            .property_from_str("aggregate-mode", "zero-latency")
            .build()?;
        Self::new(&output.encoded, payloader, "video", ("H264", 90_000), place)
    }

    pub fn sound(output: &'a Output, place: offer::Place) -> Result<Self> {
        let payloader = gst::ElementFactory::make("rtpopuspay").build()?;
        Self::new(
            &output.sound.opus,
            payloader,
            "audio",
            ("OPUS", 48_000),
            place,
        )
    }

    fn new(
        producer: &'a StreamProducer,
        payloader: gst::Element,
        media: &str,
        (encoding, rate): (&str, i32),
        place: offer::Place,
    ) -> Result<Self> {
        payloader.set_property("pt", u32::try_from(place.payload)?);
        let caps = gst::Caps::builder("application/x-rtp")
            .field("media", media)
            .field("encoding-name", encoding)
            .field("clock-rate", rate)
            .field("payload", place.payload);
        Ok(Self {
            producer,
            payloader,
            caps: caps.build(),
            place,
        })
    }

    /// Adds `appsrc` and payloader to the pipeline.
    pub fn add(&self, pipeline: &gst::Pipeline) -> Result<ConsumptionLink> {
        let source = gst_app::AppSrc::builder().build();
        pipeline.add_many([source.upcast_ref(), &self.payloader])?;
        source.link(&self.payloader)?;
        Ok(ConsumptionLink::disconnected(source))
    }

    /// Links the payloader to the transceiver of its media section.
    pub fn connect(&self, webrtc: &gst::Element) -> Result<()> {
        let pad = webrtc
            .request_pad_simple(&format!("sink_{}", self.place.line))
            .with_context(|| format!("webrtcbin has no place for {}", self.caps))?;
        let transceiver = pad.property::<WebRTCRTPTransceiver>("transceiver");
        transceiver.set_property("codec-preferences", &self.caps);
        transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
        self.payloader
            .link_pads(Some("src"), webrtc, Some(&pad.name()))?;
        Ok(())
    }
}
