// SPDX-License-Identifier: MPL-2.0
//! The element `stylizetonemap`: tone mapping of HDR video (PQ or HLG, ITU-R BT.2100) to SDR, for which GStreamer 1.22
//! has no element.
//!
//! Luminance is in multiples of SDR white, 203 cd/m² (ITU-R BT.2408). Up to half of that nothing changes; above, up to
//! 1000 cd/m², a smooth curve compresses it. The curve is applied to the largest of the three components and the others
//! are scaled alike, so that hues are kept. Colours of BT.2020 outside BT.709 are clipped.

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `stylizetonemap`.
    pub struct ToneMap(ObjectSubclass<imp::ToneMap>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element for this program.
///
/// # Errors
/// If GStreamer refuses it.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(
        None,
        "stylizetonemap",
        gst::Rank::NONE,
        ToneMap::static_type(),
    )
}

/// Luminance of SDR white, cd/m².
const WHITE: f32 = 203.0;
/// Luminance that maps to 1, in multiples of white; above, it is clipped.
const PEAK: f32 = 1000.0 / WHITE;
/// Luminance up to which nothing changes, in multiples of white.
const KNEE: f32 = 0.5;
/// Number of 10-bit code values.
const CODES: usize = 1024;
/// Resolution of the table from linear light to 8 bits; enough for the darkest codes.
const STEPS: usize = 1 << 14;

/// Transfer function of HDR video.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// Perceptual quantizer, SMPTE ST 2084.
    Pq,
    /// Hybrid log-gamma, for a display with a peak of 1000 cd/m².
    Hlg,
}

/// Lookup tables from 10-bit HDR to 8-bit SDR.
pub struct Tables {
    /// Linear light by code, in multiples of white.
    light: Vec<f32>,
    /// Factor for a pixel by the code of its largest component, 0 to 1.
    scale: Vec<f32>,
    /// 8-bit codes of BT.709 by linear light.
    out: Vec<u8>,
}

impl Tables {
    pub fn new(curve: Curve) -> Self {
        let light = (0..CODES).map(|code| curve.light(code as f32 / (CODES - 1) as f32));
        let light: Vec<f32> = light.collect();
        let scale = light.iter().map(|light| match *light {
            light if light <= KNEE => 1.0,
            light => roll_off(light) / light,
        });
        let out = (0..=STEPS).map(|step| {
            let light = step as f32 / STEPS as f32;
            let code = if light < 0.018 {
                4.5 * light
            } else {
                1.099 * light.powf(0.45) - 0.099
            };
            (code * 255.0).round().clamp(0.0, 255.0) as u8
        });
        Self {
            scale: scale.collect(),
            out: out.collect(),
            light,
        }
    }

    /// Maps a pixel from 10-bit to 8-bit RGB codes.
    ///
    /// # Panics
    /// For codes from 1024 on.
    pub fn pixel(&self, codes: [usize; 3]) -> [u8; 3] {
        let largest = codes[0].max(codes[1]).max(codes[2]);
        let scale = self.scale[largest];
        let [r, g, b] = codes.map(|code| self.light[code] * scale);
        // From BT.2020's primaries to those of BT.709 (ITU-R BT.2087).
        let linear = [
            1.6605 * r - 0.5876 * g - 0.0728 * b,
            -0.1246 * r + 1.1329 * g - 0.0083 * b,
            -0.0182 * r - 0.1006 * g + 1.1187 * b,
        ];
        linear.map(|light| self.out[(light.clamp(0.0, 1.0) * STEPS as f32) as usize])
    }
}

impl Curve {
    /// Linear light of a signal from 0 to 1, in multiples of white.
    fn light(self, signal: f32) -> f32 {
        match self {
            Self::Pq => {
                let (m1, m2) = (0.159_301_76, 78.84375);
                let (c1, c2, c3) = (0.835_937_5, 18.851_563, 18.6875);
                let power = signal.powf(1.0 / m2);
                let light = ((power - c1).max(0.0) / (c2 - c3 * power)).powf(1.0 / m1);
                light * 10_000.0 / WHITE
            }
            Self::Hlg => {
                let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_7);
                let scene = if signal <= 0.5 {
                    signal * signal / 3.0
                } else {
                    (((signal - c) / a).exp() + b) / 12.0
                };
                // System gamma (OOTF), applied by component.
                scene.powf(1.2) * 1000.0 / WHITE
            }
        }
    }
}

/// Tone curve from the knee to 1 at the peak, with the slope 1 at the knee.
fn roll_off(light: f32) -> f32 {
    let (room, over) = (1.0 - KNEE, (light.min(PEAK) - KNEE) / (PEAK - KNEE));
    // A rational function through (0, 0) and (1, 1) with the slope of the identity at 0.
    let slope = (PEAK - KNEE) / room;
    KNEE + room * slope * over / (1.0 + (slope - 1.0) * over)
}

mod imp {
    use std::sync::{LazyLock, Mutex, PoisonError};

    use gst_base::subclass::prelude::*;
    use gst_video::subclass::prelude::*;
    use gststylize::planes::{Plane, PlaneError};

    use super::*;
    use crate::shared::pads::{always, changed, refuse_frame};

    #[derive(Default)]
    pub struct ToneMap {
        /// The tables, and the formats of both pads.
        format: Mutex<Option<(Tables, gst_video::VideoInfo, gst_video::VideoInfo)>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for ToneMap {
        const NAME: &'static str = "StylizeToneMap";
        type Type = super::ToneMap;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for ToneMap {}
    impl GstObjectImpl for ToneMap {}

    impl ElementImpl for ToneMap {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "HDR to SDR",
                    "Filter/Converter/Video",
                    "Maps PQ and HLG to BT.709",
                    "The gst-plugin-stylize developers",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = |format| gst_video::VideoCapsBuilder::new().format(format).build();
                always(
                    &caps(gst_video::VideoFormat::Rgb10a2Le),
                    &caps(gst_video::VideoFormat::Rgb),
                )
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for ToneMap {
        const MODE: gst_base::subclass::BaseTransformMode =
            gst_base::subclass::BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        // Not `transform_frame`, whose frames are mapped without comparing them with their memory.
        fn transform(
            &self,
            from: &gst::Buffer,
            to: &mut gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let format = self.format.lock().unwrap_or_else(PoisonError::into_inner);
            let (tables, from_info, to_info) =
                format.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
            let mapped = tone_map(tables, (from, from_info), (to, to_info));
            drop(format);
            mapped.map_err(|err| refuse_frame(self, &err))?;
            Ok(gst::FlowSuccess::Ok)
        }

        fn transform_caps(
            &self,
            direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            Some(changed(caps, filter, |structure| {
                structure.remove_fields(["colorimetry", "chroma-site"]);
                if direction == gst::PadDirection::Sink {
                    structure.set("format", "RGB");
                    structure.set("colorimetry", "1:1:5:1");
                } else {
                    structure.set("format", "RGB10A2_LE");
                }
            }))
        }
    }

    impl VideoFilterImpl for ToneMap {
        fn set_info(
            &self,
            _incaps: &gst::Caps,
            info: &gst_video::VideoInfo,
            _outcaps: &gst::Caps,
            out_info: &gst_video::VideoInfo,
        ) -> Result<(), gst::LoggableError> {
            let hlg = info.colorimetry().transfer() == gst_video::VideoTransferFunction::AribStdB67;
            let curve = if hlg { Curve::Hlg } else { Curve::Pq };
            let mut format = self.format.lock().unwrap_or_else(PoisonError::into_inner);
            *format = Some((Tables::new(curve), info.clone(), out_info.clone()));
            Ok(())
        }
    }

    pub(super) fn tone_map(
        tables: &Tables,
        (from, from_info): (&gst::BufferRef, &gst_video::VideoInfo),
        (to, to_info): (&mut gst::BufferRef, &gst_video::VideoInfo),
    ) -> Result<(), PlaneError> {
        let (width, height) = (from_info.width() as usize, from_info.height() as usize);
        let from_plane = Plane::find(from_info, from, 0, (height, width * 4))?;
        let to_plane = Plane::find(to_info, to, 0, (height, width * 3))?;
        let (from, mut to) = (from_plane.read(from)?, to_plane.write(to)?);
        for (from, to) in from.rows().zip(to.rows_mut()) {
            let (from, _) = from.as_chunks::<4>();
            let (to, _) = to.as_chunks_mut::<3>();
            for (from, to) in from.iter().zip(to) {
                let word = u32::from_le_bytes(*from) as usize;
                *to = tables.pixel([word, word >> 10, word >> 20].map(|code| code & 0x3ff));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_outside_their_memory_are_refused() {
        gst::init().expect("GStreamer");
        let info = |format| {
            let info = gst_video::VideoInfo::builder(format, 16, 8);
            info.build().expect("a format")
        };
        let format = gst_video::VideoFormat::Rgb10a2Le;
        let (from_info, to_info) = (info(format), info(gst_video::VideoFormat::Rgb));
        let tables = Tables::new(Curve::Pq);
        let to_sdr = |stride: i32| {
            let mut from = gst::Buffer::from_mut_slice(vec![0_u8; 16 * 8 * 4]);
            let flags = gst_video::VideoFrameFlags::empty();
            let fresh = from.get_mut().expect("fresh");
            gst_video::VideoMeta::add_full(fresh, flags, format, 16, 8, &[0], &[stride])
                .expect("a meta");
            let mut to = gst::Buffer::from_mut_slice(vec![1_u8; 16 * 8 * 3]);
            let to = (to.get_mut().expect("fresh"), &to_info);
            imp::tone_map(&tables, (&from, &from_info), to)
        };
        to_sdr(64).expect("is mapped");
        let error = to_sdr(65).expect_err("is not read").to_string();
        assert!(error.contains("ends at byte 519"), "{error}");
    }

    /// Codes of 10 bits for SDR white, from BT.2408.
    #[test]
    fn white_is_nearly_white_and_black_is_black() {
        for (curve, white) in [(Curve::Pq, 0.58), (Curve::Hlg, 0.75)] {
            let tables = Tables::new(curve);
            assert_eq!(tables.pixel([0; 3]), [0; 3]);
            let code = (white * 1023.0) as usize;
            let [r, g, b] = tables.pixel([code; 3]);
            assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1, "grey stays grey");
            // Diffuse white stays below 255, because highlights are brighter.
            assert!((200..=245).contains(&r), "{curve:?}: {r}");
            assert!(tables.pixel([1023; 3]).iter().all(|code| *code >= 254));
        }
    }

    #[test]
    fn dark_codes_are_kept_and_the_curve_is_monotonic() {
        let tables = Tables::new(Curve::Pq);
        let mut before = 0;
        for code in 0..CODES {
            let [grey, ..] = tables.pixel([code; 3]);
            assert!(grey >= before, "{code}");
            before = grey;
        }
        // 26 cd/m², an eighth of white: 0.1281 in linear light.
        let [grey, ..] = tables.pixel([(0.38 * 1023.0) as usize; 3]);
        assert!(grey.abs_diff(86) <= 4, "{grey}");
    }
}
