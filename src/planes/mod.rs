// SPDX-License-Identifier: MPL-2.0
//! The planes of a video frame in the memory of its buffer. `gst_video_frame_map` takes offsets and strides of a
//! `GstVideoMeta` without comparing them with the size of the buffer, and maps only the memory in which a plane begins;
//! here each plane is compared with the buffer, and mapped to its end.

#[cfg(test)]
mod tests;

use gst::buffer::{BufferMap, Readable, Writable};
use gst_video::{VIDEO_MAX_PLANES, VideoInfo, VideoMeta};

/// Why a buffer does not hold a frame of its caps.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    #[error("it has {has} bytes where {needed} are needed")]
    Short { has: usize, needed: usize },
    #[error("its GstVideoMeta is of {has}, its caps of {wanted}")]
    OtherFrame { has: String, wanted: String },
    #[error("its GstVideoMeta has {has} planes where {wanted} are needed")]
    Count { has: u32, wanted: u32 },
    #[error("its stride of {0} bytes is negative")]
    Negative(i32),
    #[error("plane {plane} has a stride of {stride} bytes where a row has {row}")]
    Narrow {
        plane: usize,
        stride: usize,
        row: usize,
    },
    #[error(
        "plane {plane} of its GstVideoMeta, at offset {offset} with a stride of {stride}, ends at byte {end}, and the buffer has {has}"
    )]
    Outside {
        plane: usize,
        offset: usize,
        stride: usize,
        end: u128,
        has: usize,
    },
    #[error("it cannot be mapped")]
    Unmapped,
}

/// The message for the user about a frame that cannot be used for this reason.
pub fn unusable(reason: &impl std::fmt::Display) -> String {
    format!(
        "A frame's memory cannot be used: {reason}. Correct the element that allocates the buffer."
    )
}

/// A plane that lies in its buffer, at least when it was found there.
#[derive(Debug, Clone, Copy)]
pub struct Plane {
    /// First byte in the buffer.
    pub offset: usize,
    /// Distance between rows, bytes; not less than `row`.
    pub stride: usize,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of a row without padding.
    pub row: usize,
}

/// The buffer's `GstVideoMeta`, if it has one.
///
/// # Errors
/// If the meta describes frames of another format, of another number of planes, or smaller ones than `info`.
pub fn described<'a>(
    info: &VideoInfo,
    buffer: &'a gst::BufferRef,
) -> Result<Option<gst::MetaRef<'a, VideoMeta>>, PlaneError> {
    let Some(meta) = buffer.meta::<VideoMeta>() else {
        return Ok(None);
    };
    let small = meta.width() < info.width() || meta.height() < info.height();
    if meta.format() != info.format() || small {
        let frames = |format, width, height| format!("{format} in {width}x{height}");
        return Err(PlaneError::OtherFrame {
            has: frames(meta.format(), meta.width(), meta.height()),
            wanted: frames(info.format(), info.width(), info.height()),
        });
    }
    // The meta's arrays of offsets and strides may not be read before this is known.
    match (meta.n_planes(), info.n_planes()) {
        (has, wanted) if has != wanted => Err(PlaneError::Count { has, wanted }),
        _ => Ok(Some(meta)),
    }
}

impl Plane {
    /// Plane `index` of a frame, by the buffer's `GstVideoMeta` or, without one, by the caps; `extent`: its number of
    /// rows, and bytes of a row without padding.
    ///
    /// # Errors
    /// Those of [`described`], and if the plane does not lie in the buffer.
    pub fn find(
        info: &VideoInfo,
        buffer: &gst::BufferRef,
        index: usize,
        extent: (usize, usize),
    ) -> Result<Self, PlaneError> {
        let (has, needed) = (buffer.size(), info.size());
        let (offset, stride) = match described(info, buffer)? {
            Some(meta) => (meta.offset()[index], meta.stride()[index]),
            None if has < needed => return Err(PlaneError::Short { has, needed }),
            None => (info.offset()[index], info.stride()[index]),
        };
        let stride = usize::try_from(stride).map_err(|_| PlaneError::Negative(stride))?;
        let (rows, row) = extent;
        if stride < row {
            let plane = index;
            return Err(PlaneError::Narrow { plane, stride, row });
        }
        // Offset, stride and rows have at most 64, 31 and 64 bits, of which frames use 32: no overflow.
        let before = stride as u128 * rows.saturating_sub(1) as u128;
        let end = offset as u128 + before + row as u128;
        if end > has as u128 {
            return Err(PlaneError::Outside {
                plane: index,
                offset,
                stride,
                end,
                has,
            });
        }
        Ok(Self {
            offset,
            stride,
            rows,
            row,
        })
    }

    /// Bytes from the first to the last, without the padding of the last row.
    fn len(&self) -> usize {
        self.stride * self.rows.saturating_sub(1) + self.row
    }

    /// The memories of the buffer that hold the plane, and the offset of its first byte in them.
    fn memories(
        &self,
        buffer: &gst::BufferRef,
    ) -> Result<(std::ops::Range<usize>, usize), PlaneError> {
        let bytes = self.offset..self.offset.saturating_add(self.len());
        buffer.find_memory(bytes).ok_or(PlaneError::Unmapped)
    }

    /// Maps the plane for reading.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub fn read<'a>(
        &self,
        buffer: &'a gst::BufferRef,
    ) -> Result<Mapped<BufferMap<'a, Readable>>, PlaneError> {
        let (memories, skip) = self.memories(buffer)?;
        let map = buffer.map_range_readable(memories);
        self.mapped(map.map_err(|_| PlaneError::Unmapped)?, skip)
    }

    /// Maps the plane for writing.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub fn write<'a>(
        &self,
        buffer: &'a mut gst::BufferRef,
    ) -> Result<Mapped<BufferMap<'a, Writable>>, PlaneError> {
        let (memories, skip) = self.memories(buffer)?;
        let map = buffer.map_range_writable(memories);
        self.mapped(map.map_err(|_| PlaneError::Unmapped)?, skip)
    }

    fn mapped<M: AsRef<[u8]>>(&self, map: M, skip: usize) -> Result<Mapped<M>, PlaneError> {
        let bytes = skip..skip.saturating_add(self.len());
        match map.as_ref().get(bytes.clone()) {
            Some(_) => Ok(Mapped {
                map,
                bytes,
                plane: *self,
            }),
            None => Err(PlaneError::Unmapped),
        }
    }
}

/// A mapped plane.
pub struct Mapped<M> {
    map: M,
    /// Where the plane lies in the map.
    bytes: std::ops::Range<usize>,
    plane: Plane,
}

impl<M: AsRef<[u8]>> Mapped<M> {
    /// The rows from the top, without padding.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.map.as_ref().get(self.bytes.clone());
        let rows = bytes.unwrap_or_default().chunks(self.plane.stride.max(1));
        rows.filter_map(|row| row.get(..self.plane.row))
    }
}

impl<M: AsMut<[u8]>> Mapped<M> {
    /// The rows from the top, without padding, to be written.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let bytes = self.map.as_mut().get_mut(self.bytes.clone());
        let rows = bytes
            .unwrap_or_default()
            .chunks_mut(self.plane.stride.max(1));
        rows.filter_map(|row| row.get_mut(..self.plane.row))
    }
}

/// Copies the planes of a frame between buffers of any memory layout; `extents`: number of rows of each plane, and bytes
/// of a row without padding.
///
/// # Errors
/// If a plane does not lie in its buffer: then nothing is written. If a buffer cannot be mapped.
pub fn copy(
    info: &VideoInfo,
    extents: impl Iterator<Item = (usize, usize)>,
    source: &gst::BufferRef,
    target: &mut gst::BufferRef,
) -> Result<(), PlaneError> {
    let mut planes = [None; VIDEO_MAX_PLANES];
    for (index, (extent, planes)) in extents.zip(&mut planes).enumerate() {
        let from = Plane::find(info, source, index, extent)?;
        let to = Plane::find(info, target, index, extent)?;
        *planes = Some((from, to));
    }
    for (from, to) in planes.into_iter().flatten() {
        let (from, mut to) = (from.read(source)?, to.write(target)?);
        for (to, from) in to.rows_mut().zip(from.rows()) {
            to.copy_from_slice(from);
        }
    }
    Ok(())
}
