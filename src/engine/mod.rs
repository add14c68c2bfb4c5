// SPDX-License-Identifier: MPL-2.0
//! Runs compiled graphs with ONNX Runtime, which no other module uses.
//!
//! [`runtime`] finds and loads the library, [`Candidates`] choose the execution provider, a [`Lease`] on a shared
//! [`session`] runs a graph on the caller's memory, [`probe`] measures conventions of a generator that its file
//! does not state, and a [`Predictor`] computes style vectors.

mod error;
pub(crate) mod exit;
mod log;
pub mod provider;
mod run;
pub mod runtime;
mod study;

pub use error::EngineError;
pub use provider::candidates::Candidates;
pub use provider::choice::{Choice, Optimization, Options};
pub use provider::kinds::{Precision, Provider};
pub use run::assignment::Assignment;
pub use run::load::LoadCanceller;
pub use run::memory::StateTensor;
pub use run::session;
pub use run::shared::{Canceller, Lease, Runner};
pub use runtime::Runtime;
pub use study::predictor::Predictor;
pub use study::probe;
