//! Types of the authority `Audio`.

use crate::interstice_type;

/// What a stream of sound is like.
#[interstice_type]
#[derive(Debug)]
pub struct AudioStreamConfig {
    /// Frames per second.
    pub sample_rate: u32,
    /// Samples per frame.
    pub channels: u16,
    /// Frames per write, and per `audio_output` or `audio_input` event.
    pub frames_per_buffer: u32,
}
