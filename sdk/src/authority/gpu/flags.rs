//! Types of the authority `Gpu`: sets of flags.

use std::ops::{BitOr, BitOrAssign};

use crate::interstice_type;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident { $($flag:ident $bits:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[interstice_type]
        #[derive(Debug, Copy, PartialEq, Eq)]
        pub struct $name(u32);

        #[expect(missing_docs, reason = "the flags are those of WebGPU")]
        impl $name {
            $(pub const $flag: Self = Self($bits);)*

            /// No flag.
            #[must_use]
            pub const fn empty() -> Self {
                Self(0)
            }

            /// The flags as a number.
            #[must_use]
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether all flags of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }
    )*};
}

flags! {
    /// What a buffer is used for.
    BufferUsage { MAP_READ 1, MAP_WRITE 2, COPY_SRC 4, COPY_DST 8, INDEX 16, VERTEX 32, UNIFORM 64, STORAGE 128, INDIRECT 256 }

    /// What a texture is used for.
    TextureUsage { COPY_SRC 1, COPY_DST 2, TEXTURE_BINDING 4, STORAGE_BINDING 8, RENDER_ATTACHMENT 16 }

    /// The stages of a shader.
    ShaderStage { VERTEX 1, FRAGMENT 2, COMPUTE 4 }

    /// The channels that are written.
    ColorWrites { RED 1, GREEN 2, BLUE 4, ALPHA 8, ALL 15 }
}

#[cfg(test)]
mod tests {
    use super::BufferUsage;

    #[test]
    fn flags_are_sets() {
        let mut usage = BufferUsage::VERTEX | BufferUsage::COPY_DST;
        assert_eq!(usage.bits(), 40);
        assert!(usage.contains(BufferUsage::VERTEX) && !usage.contains(BufferUsage::INDEX));
        usage |= BufferUsage::INDEX;
        assert!(usage.contains(BufferUsage::INDEX));
        assert!(usage.contains(BufferUsage::empty()));
    }
}
