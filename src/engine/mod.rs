// SPDX-License-Identifier: MPL-2.0
//! Runs compiled graphs: the only room that names ONNX Runtime.
//!
//! [`runtime`] finds and loads the library, [`Candidates`] choose where a graph runs, a [`Lease`] on
//! a shared [`session`] runs it on memory of the caller's, [`probe`] asks a generator what its file
//! does not say, and a [`Predictor`] makes style vectors.

mod error;
mod exit;
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
