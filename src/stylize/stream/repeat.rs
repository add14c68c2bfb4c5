// SPDX-License-Identifier: MPL-2.0
//! Decides whether the last painting is pushed again instead of inference: because only every n-th frame is
//! painted (`interval`), or because the source's bytes did not change (`reuse`: screens, stills, telecine).

use super::frame::Task;
use crate::stylize::mask::canvas::Mask;
use crate::stylize::style::transition::Values;

/// Inputs of the last painting.
struct Painted {
    source: gst::Buffer,
    /// Id of the lease; the lease itself would keep its session alive.
    lease: u64,
    strength: f32,
    split: f64,
    seed: u64,
    style: Values,
    rest: Option<Values>,
    mask: Option<Mask>,
}

/// The last painting's inputs.
#[derive(Default)]
pub(crate) struct Repeats {
    painted: Option<Painted>,
    /// Frames since the last painted one.
    since: u32,
}

impl Repeats {
    /// Whether the last painting is pushed again for this frame. If not, records this frame as painted.
    pub fn decide(
        &mut self,
        task: &Task,
        source: &gst::Buffer,
        interval: u32,
        reuse: bool,
    ) -> bool {
        if let Some(painted) = &self.painted {
            // With a split, part of every frame shows its own source.
            let split = painted.split > 0.0 || task.split > 0.0;
            let skipped = self.since + 1 < interval && !split;
            if skipped || (reuse && painted.is(task, source)) {
                self.since = self.since.saturating_add(1);
                return true;
            }
        }
        self.since = 0;
        self.painted = Some(Painted {
            source: source.clone(),
            lease: task.runner.id(),
            strength: task.strength,
            split: task.split,
            seed: task.seed,
            style: task.style.clone(),
            rest: task.rest.clone(),
            mask: task.mask.clone(),
        });
        false
    }
}

impl Painted {
    /// Whether inference would give the same output again.
    fn is(&self, task: &Task, source: &gst::Buffer) -> bool {
        let controls = self.lease == task.runner.id()
            && !task.remembers()
            && self.strength == task.strength
            && self.split == task.split
            && self.seed == task.seed
            && self.style == task.style
            && self.rest == task.rest
            && self.mask == task.mask;
        controls && same_bytes(&self.source, source)
    }
}

/// Whether two buffers hold the same bytes; false if one cannot be mapped.
fn same_bytes(one: &gst::Buffer, other: &gst::Buffer) -> bool {
    if one.size() != other.size() {
        return false;
    }
    match (one.map_readable(), other.map_readable()) {
        (Ok(one), Ok(other)) => one.as_slice() == other.as_slice(),
        _ => false,
    }
}
