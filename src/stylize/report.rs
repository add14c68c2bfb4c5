// SPDX-License-Identifier: MPL-2.0
//! The element's error type, and its conversion to a GStreamer element error with domain, code and text.

use crate::engine::EngineError;
use crate::gallery::painting::PaintingError;
use crate::graph::GraphError;
use crate::model::{ModelError, StyleError};
use crate::planes::{self, PlaneError};

/// Errors and warnings of the element. The text is for the user: what is wrong, with which value, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The model file is not a generator that can be run.
    #[error("{error}")]
    Model { file: String, error: ModelError },
    /// ONNX Runtime cannot load or run the model.
    #[error("{error}")]
    Refused { file: String, error: EngineError },
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error(
        "The property {name}={value} is not understood. Write min,max, such as 0,1 or 0,255, or one pair per channel."
    )]
    Property { name: &'static str, value: String },
    #[error(
        "The field {0} of provider-options is neither a string nor a number. Write it as a string."
    )]
    ProviderOption(String),
    #[error(
        "Frames of {width}x{height} cannot be stylized: width and height must be from 16 to 8192 pixels. Put `videoscale ! video/x-raw,width=…,height=…` before stylize."
    )]
    FrameSize { width: i32, height: i32 },
    #[error("The video format is not supported: {0}. Put `videoconvert` before stylize.")]
    Format(String),
    #[error(
        "HDR video ({0}) cannot be stylized, because generators are trained on sRGB pictures. Map it to SDR before stylize, for instance with `vapostproc hdr-tone-mapping=true ! video/x-raw,colorimetry=bt709`."
    )]
    Hdr(String),
    #[error(
        "Interlaced video (interlace-mode={0}) cannot be stylized, because a frame that holds two moments would be painted as one picture. Put `deinterlace` before stylize."
    )]
    Interlaced(String),
    #[error(
        "Multiview video whose views are pictures of their own (multiview-mode={0}) cannot be stylized. Put one view through stylize at a time, or pack them into one picture before it (`glstereomix`, `glviewconvert`)."
    )]
    Multiview(String),
    #[error("{0}")]
    Style(#[from] StyleError),
    #[error("{0}")]
    Painting(#[from] PaintingError),
    #[error(
        "The generator takes its style from a painting. Set style-image to a picture file; style, style-a and style-b do nothing with it."
    )]
    StyleIsVector,
    #[error(
        "The generator takes its style by name, so style-image and style-predictor have no effect. Set style to one of: {}.", .0.join(", ")
    )]
    StyleIsNamed(Vec<String>),
    #[error("The generator takes its style from a painting. Set style-image to a picture file.")]
    NoPainting,
    #[error(
        "The generator takes a style vector. Set style-predictor to the ONNX model that makes it from a painting."
    )]
    NoPredictor,
    /// The model cannot be converted to the requested precision.
    #[error("{0}")]
    Half(GraphError),
    #[error(
        "The generator {0} is not in 8-bit integers. Set precision=auto, or quantize it with `stylize-train quantize`."
    )]
    NotQuantized(String),
    #[error(
        "The playlist \"{file}\" cannot be used: {reason}. Every line is a time and a style, such as `1:30 great-wave`."
    )]
    Playlist { file: String, reason: String },
    #[error(
        "The generator takes pictures of one size only, so adapt=resolution has no effect. Set adapt=off, or model-file to a generator that takes pictures of any size."
    )]
    OneSize,
    #[error(
        "The property mask-file is not set, and mask=image needs it. Set it to a picture, or set mask=none."
    )]
    NoMaskFile,
    #[error(
        "The mask \"{file}\" cannot be read: {reason}. Set mask-file to a JPEG, PNG or WebP file."
    )]
    Mask { file: String, reason: String },
    #[cfg(feature = "analytics")]
    #[error(
        "A segmentation mask that a frame carries cannot be used: {0}. It must be GRAY8 or GRAY16_LE, described by a GstVideoMeta; correct the element that attaches it, or set mask=none."
    )]
    Segmentation(String),
    #[cfg(not(feature = "analytics"))]
    #[error(
        "This build of the plugin cannot read GstAnalyticsRelationMeta, so there is no mask=analytics. Build it with `cargo build --release --features analytics` where GStreamer 1.26 or newer is installed, or set mask=roi."
    )]
    NoAnalytics,
    #[error("{}", planes::unusable(.0))]
    Memory(String),
    #[error(
        "The compiled graph cannot be written to \"{file}\": {reason}. Set dump-graph to a file in a folder that exists and can be written."
    )]
    Dump { file: String, reason: String },
    #[error("No thread can be started: {0}. Stop other programs, or lower frames-in-flight.")]
    Threads(String),
    /// A bug in this element: a job or a background thread panicked.
    #[error(
        "A thread of the element panicked; standard error has its message. Report it as a bug."
    )]
    Panicked,
    /// A bug in the application or in this element: a buffer arrived before caps, or after stop.
    #[error("A buffer arrived before caps. Send a caps event before the first buffer.")]
    NotNegotiated,
}

impl From<PlaneError> for Error {
    fn from(error: PlaneError) -> Self {
        Self::Memory(error.to_string())
    }
}

impl Error {
    /// Names the model file in errors about it.
    pub fn of_model(file: &str) -> impl Fn(ModelError) -> Self {
        move |error| Self::Model {
            file: file.into(),
            error,
        }
    }

    /// Names the model file in errors of the graph compiler about it.
    pub fn of_graph(file: &str) -> impl Fn(GraphError) -> Self {
        move |error| match error {
            GraphError::Model(error) => Self::of_model(file)(error),
            error @ GraphError::Half(_) => Self::Half(error),
        }
    }

    /// Names the model file in errors of the engine about it.
    pub fn of_engine(file: &str, error: EngineError) -> Self {
        let file = file.to_string();
        match error {
            EngineError::Model(error) => Self::Model { file, error },
            error @ (EngineError::Refused(_) | EngineError::Run(_)) => {
                Self::Refused { file, error }
            }
            error => Self::Engine(error),
        }
    }

    /// As a GStreamer error message: domain, code, text, and the model file or the variant as debug text.
    pub fn message(&self) -> gst::ErrorMessage {
        use gst::{CoreError, LibraryError, ResourceError, StreamError};
        let text = self.to_string();
        macro_rules! message {
            ($code:expr) => {
                match self {
                    Self::Model { file, .. } | Self::Refused { file, .. } => {
                        gst::error_msg!($code, ("{}", text), ["model: {}", file])
                    }
                    other => gst::error_msg!($code, ("{}", text), ["{:?}", other]),
                }
            };
        }
        let model = |error: &ModelError| match error {
            ModelError::Missing(_) => message!(ResourceError::NotFound),
            ModelError::Directory(_) | ModelError::Unreadable { .. } | ModelError::Weights(_) => {
                message!(ResourceError::OpenRead)
            }
            ModelError::Description { .. } => message!(ResourceError::Settings),
            ModelError::Empty
            | ModelError::Onnx(_)
            | ModelError::OldOpset(_)
            | ModelError::Compiled => message!(StreamError::WrongType),
            ModelError::Inputs { .. }
            | ModelError::InputShape { .. }
            | ModelError::InputSize { .. }
            | ModelError::NoImageOutput { .. }
            | ModelError::Element { .. }
            | ModelError::SizeChanges { .. } => message!(StreamError::Format),
        };
        match self {
            Self::Model { error, .. } | Self::Engine(EngineError::Model(error)) => model(error),
            Self::Engine(
                EngineError::RuntimeNotFound { .. }
                | EngineError::RuntimeBroken { .. }
                | EngineError::RuntimeTooOld { .. }
                | EngineError::ProviderMissing { .. }
                | EngineError::ProviderLibrary { .. },
            ) => message!(LibraryError::Init),
            Self::Engine(
                EngineError::RuntimeOther { .. }
                | EngineError::Precision { .. }
                | EngineError::Device { .. }
                | EngineError::ProviderOption { .. },
            )
            | Self::Half(_) => message!(LibraryError::Settings),
            Self::Refused { .. } | Self::Engine(EngineError::Refused(_)) => {
                message!(StreamError::WrongType)
            }
            Self::Engine(EngineError::Run(_) | EngineError::Cancelled) => {
                message!(StreamError::Failed)
            }
            Self::Property { .. }
            | Self::ProviderOption(_)
            | Self::Style(_)
            | Self::StyleIsVector
            | Self::StyleIsNamed(_)
            | Self::NoPainting
            | Self::NoPredictor
            | Self::NoMaskFile
            | Self::OneSize
            | Self::NotQuantized(_) => message!(LibraryError::Settings),
            Self::Painting(_) | Self::Mask { .. } | Self::Playlist { .. } => {
                message!(ResourceError::OpenRead)
            }
            Self::FrameSize { .. }
            | Self::Multiview(_)
            | Self::Format(_)
            | Self::Hdr(_)
            | Self::Interlaced(_) => {
                message!(StreamError::Format)
            }
            #[cfg(feature = "analytics")]
            Self::Segmentation(_) => message!(StreamError::Failed),
            #[cfg(not(feature = "analytics"))]
            Self::NoAnalytics => message!(CoreError::Disabled),
            Self::Memory(_) => message!(StreamError::Failed),
            Self::Dump { .. } => message!(ResourceError::Write),
            Self::Threads(_) | Self::Engine(EngineError::OutOfMemory(_)) => {
                message!(ResourceError::NoSpaceLeft)
            }
            Self::Panicked => message!(LibraryError::Failed),
            Self::NotNegotiated => message!(CoreError::Negotiation),
        }
    }
}
