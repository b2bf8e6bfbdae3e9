//! Types of the authority `Gpu`: choices without fields.

use crate::interstice_type;

macro_rules! choices {
    ($($(#[$attribute:meta])* $name:ident { $($variant:ident),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[interstice_type]
        #[derive(Debug, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants are those of WebGPU")]
        pub enum $name {
            $($variant,)*
        }
    )*};
}

choices! {
    /// What a texel is. Closed.
    TextureFormat { Rgba8Unorm, Rgba8UnormSrgb, Bgra8Unorm, Bgra8UnormSrgb, Depth24Plus, Depth32Float }

    /// How many dimensions a texture has.
    TextureDimension { D1, D2, D3 }

    /// How a texture is looked at.
    TextureViewDimension { D1, D2, D2Array, Cube, CubeArray, D3 }

    /// How texels are mixed.
    FilterMode { Nearest, Linear }

    /// What lies outside a texture.
    AddressMode { ClampToEdge, Repeat, MirrorRepeat }

    /// What an index is.
    IndexFormat { Uint16, Uint32 }

    /// What a vertex attribute is.
    VertexFormat { Float32, Float32x2, Float32x3, Float32x4, Uint32, Uint32x2, Uint32x3, Uint32x4 }

    /// When a vertex buffer moves on.
    VertexStepMode { Vertex, Instance }

    /// What vertices make.
    PrimitiveTopology { TriangleList, TriangleStrip, LineList }

    /// Which faces are left out.
    CullMode { Front, Back }

    /// Which faces are front faces.
    FrontFace { Ccw, Cw }

    /// What an attachment holds when a pass begins.
    LoadOp { Load, Clear }

    /// What becomes of an attachment when a pass ends.
    StoreOp { Store, Discard }

    /// How values are compared.
    CompareFunction { Less, LessEqual, Greater, Always }

    /// What becomes of a stencil value.
    StencilOperation { Keep, Zero, Replace, Invert, IncrementClamp, DecrementClamp, IncrementWrap, DecrementWrap }

    /// What a colour is multiplied with.
    BlendFactor { Zero, One, Src, OneMinusSrc, SrcAlpha, OneMinusSrcAlpha, DstAlpha, OneMinusDstAlpha }

    /// How two colours are put together.
    BlendOperation { Add, Subtract, ReverseSubtract }
}
