//! Types of the authority `Input`.

use crate::{interstice_type, key_code::KeyCode};

/// Something was pressed or moved. Closed: modules match it without a wildcard.
#[interstice_type]
#[derive(Debug)]
pub enum InputEvent {
    /// A device came.
    Added {
        /// The device.
        device_id: u32,
    },
    /// A device went.
    Removed {
        /// The device.
        device_id: u32,
    },
    /// The cursor moved, in physical pixels.
    MouseMotion {
        /// The device.
        device_id: u32,
        /// Right and down are positive; the sum of all is the position in the window.
        delta: (f64, f64),
    },
    /// The wheel turned, in pixels, 40 to a line.
    MouseWheel {
        /// The device.
        device_id: u32,
        /// Up and left are positive.
        delta: (f64, f64),
    },
    /// An axis moved.
    Motion {
        /// The device.
        device_id: u32,
        /// The axis.
        axis_id: u32,
        /// By how much.
        value: f64,
    },
    /// A mouse button.
    Button {
        /// The device.
        device_id: u32,
        /// 0 left, 1 right, 2 middle, 3 back, 4 forward, then as the system counts.
        button_id: u32,
        /// Down or up.
        state: ElementState,
    },
    /// A key, repeats included.
    Key {
        /// The device.
        device_id: u32,
        /// Which one.
        physical_key: PhysicalKey,
        /// Down or up.
        state: ElementState,
    },
}

/// Whether something is held down. Closed.
#[interstice_type]
#[derive(Debug, Copy, PartialEq, Eq)]
pub enum ElementState {
    /// It is.
    Pressed,
    /// It is not.
    Released,
}

/// A key by its place on the keyboard. Closed.
#[interstice_type]
#[derive(Debug)]
pub enum PhysicalKey {
    /// One that has a name.
    Code(KeyCode),
    /// One that has only the system's number.
    Unidentified(u32),
}
