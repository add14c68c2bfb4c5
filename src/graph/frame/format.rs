// SPDX-License-Identifier: MPL-2.0
//! Frame formats: layout and meaning of the bytes of a frame.

/// Maximum number of planes of a frame.
pub const PLANES: usize = 3;

/// A packed RGB format: every pixel is `bytes` bytes, each channel one byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packed {
    /// Bytes per pixel, 3 or 4.
    pub bytes: usize,
    /// Byte offsets of red, green and blue in a pixel.
    pub rgb: [usize; 3],
}

impl Packed {
    /// Offset of the byte that is alpha or padding in a four-byte pixel.
    pub fn fourth(&self) -> Option<usize> {
        (0..self.bytes).find(|byte| !self.rgb.contains(byte))
    }
}

/// Content of a plane; the numbers are components: 0 to 2 for Y, Cb, Cr or R, G, B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// One component.
    One(usize),
    /// Two chroma components, interleaved, as in NV12.
    Pair([usize; 2]),
    /// Luma and both chroma components of two pixels in four bytes, luma first (YUY2) or chroma
    /// first (UYVY).
    Quad { luma_first: bool },
}

/// Colour matrix: the luma weights of red, green and blue (ITU-R BT.601, BT.709, BT.2020, SMPTE 240M, FCC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Named after the standards.
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
    Smpte240m,
    Fcc,
}

impl Matrix {
    /// Luma weights of red and blue; the three weights sum to 1.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Smpte240m => (0.212, 0.087),
            Self::Fcc => (0.30, 0.11),
        }
    }
}

/// The components of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Components {
    /// Red, green and blue.
    Rgb,
    /// Luma and two colour differences.
    Yuv {
        /// Luma weights.
        matrix: Matrix,
        /// Whether 8-bit codes are 0..255, else 16..235 for luma and 16..240 for chroma; scaled by the bit depth.
        full: bool,
        /// Whether subsampled chroma is co-sited with luma, horizontally and vertically; else it lies in the
        /// middle between two luma samples.
        cosited: [bool; 2],
    },
    /// Luma alone.
    Grey {
        /// Luma weights.
        matrix: Matrix,
        /// As in [`Self::Yuv`].
        full: bool,
    },
}

/// Bit depth and storage of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Depth {
    /// Bits of a code: 8 in one byte, more in two bytes, little-endian.
    pub bits: u32,
    /// Whether the code is in the upper bits of the two bytes, as in P010; else in the lower ones.
    pub upper: bool,
}

impl Depth {
    /// 8 bits in one byte.
    pub const BYTE: Self = Self {
        bits: 8,
        upper: false,
    };

    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The largest code.
    pub fn max_code(self) -> f64 {
        f64::from((1_u32 << self.bits) - 1)
    }

    /// Value of the two bytes for a code of 1.
    pub fn unit(self) -> f64 {
        match self.upper {
            true => f64::from(1_u32 << (16 - self.bits)),
            false => 1.0,
        }
    }
}

/// A format with several planes or with subsampled chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Planar {
    /// The frame's planes in memory order.
    pub planes: &'static [Plane],
    /// Pixels per chroma sample, horizontal and vertical: 1 or 2.
    pub subsampling: [usize; 2],
    /// The components of the planes.
    pub components: Components,
    /// Storage of each sample.
    pub depth: Depth,
}

/// The format of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RGB, interleaved.
    Packed(Packed),
    /// All other formats, including YUY2, UYVY and grey.
    Planar(Planar),
}

/// Memory layout of a frame: row `r` of plane `p` begins at `offsets[p] + r · strides[p]`. Entries of planes that the
/// format does not have are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// Offsets from the first plane, bytes.
    pub offsets: [usize; PLANES],
    /// Distances between rows, bytes.
    pub strides: [usize; PLANES],
}

/// One frame's format, size and memory layout: the key of a compiled graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Format.
    pub format: Format,
    /// Width, pixels.
    pub width: usize,
    /// Height, pixels.
    pub height: usize,
    /// Memory layout of the frame that is read.
    pub source: Memory,
    /// Memory layout of the frame that is written.
    pub target: Memory,
}

impl Frame {
    /// Number of planes.
    pub fn planes(&self) -> usize {
        match self.format {
            Format::Packed(_) => 1,
            Format::Planar(planar) => planar.planes.len(),
        }
    }

    /// Size of the chroma planes, samples: width and height.
    pub fn chroma(&self, subsampling: [usize; 2]) -> (usize, usize) {
        let [across, down] = subsampling;
        (self.width.div_ceil(across), self.height.div_ceil(down))
    }

    /// Number of rows of a plane, and bytes per row without padding.
    pub fn plane(&self, index: usize) -> (usize, usize) {
        match self.format {
            Format::Packed(packed) => (self.height, self.width * packed.bytes),
            Format::Planar(planar) => {
                let (width, height) = self.chroma(planar.subsampling);
                let (rows, samples) = match planar.planes[index] {
                    Plane::One(0) => (self.height, self.width),
                    Plane::One(_) => (height, width),
                    Plane::Pair(_) => (height, width * 2),
                    Plane::Quad { .. } => (self.height, width * 4),
                };
                (rows, samples * planar.depth.bytes())
            }
        }
    }

    /// Size of a frame in this memory layout, bytes, including the padding of the last row.
    pub fn size(&self, memory: &Memory) -> usize {
        let end = |p| memory.offsets[p] + memory.strides[p] * self.plane(p).0;
        (0..self.planes()).map(end).max().unwrap_or(0)
    }

    /// Size of a frame in this memory layout, bytes, without the padding of the last row.
    pub fn needed(&self, memory: &Memory) -> usize {
        let end = |p| {
            let (rows, row) = self.plane(p);
            memory.offsets[p] + memory.strides[p] * (rows - 1) + row
        };
        (0..self.planes()).map(end).max().unwrap_or(0)
    }

    /// Shape of the u8 tensor of a frame in this memory layout: `[H, stride]` for packed formats, else `[1, size]`.
    pub fn shape(&self, memory: &Memory) -> [usize; 2] {
        match self.format {
            Format::Packed(_) => [self.height, memory.strides[0]],
            Format::Planar(_) => [1, self.size(memory)],
        }
    }

    /// Copies a picture from the target's memory layout to the source's, to a frame of `len` bytes.
    pub fn rearranged(&self, written: &[u8], len: usize) -> Vec<u8> {
        let mut read = vec![0; len];
        for p in 0..self.planes() {
            let (rows, row) = self.plane(p);
            for r in 0..rows {
                let from = self.target.offsets[p] + r * self.target.strides[p];
                let to = self.source.offsets[p] + r * self.source.strides[p];
                read[to..to + row].copy_from_slice(&written[from..from + row]);
            }
        }
        read
    }

    /// Whether no two rows of a plane and no two planes overlap.
    pub fn is_sound(&self, memory: &Memory) -> bool {
        // Without an allocation, because this is called for every frame.
        let mut spans = [(0, 0); PLANES];
        let spans = &mut spans[..self.planes()];
        for (p, span) in spans.iter_mut().enumerate() {
            let (rows, row) = self.plane(p);
            let begin = memory.offsets[p];
            // The end of the last row with its padding must not overflow either.
            let Some(end) = memory.strides[p]
                .checked_mul(rows)
                .and_then(|len| begin.checked_add(len))
            else {
                return false;
            };
            *span = (begin, end - memory.strides[p].saturating_sub(row));
        }
        spans.sort_unstable();
        let apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        apart && (0..self.planes()).all(|p| memory.strides[p] >= self.plane(p).1)
    }
}
