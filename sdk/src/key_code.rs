//! [`KeyCode`]: the keys of a keyboard by their place, numbered for good.
//!
//! Names are the W3C `code` values as winit spells them. Modules store the numbers, so the order
//! is fixed and keys that come later go to the end.

use crate::interstice_type;

macro_rules! key_codes {
    ($($name:ident)*) => {
        /// A key by its place on the keyboard. `code as u32` is its number, for good.
        #[interstice_type]
        #[derive(Debug, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are those of the W3C standard")]
        pub enum KeyCode {
            $($name,)*
        }

        impl KeyCode {
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

key_codes! {
    Backquote Backslash BracketLeft BracketRight Comma Digit0 Digit1 Digit2 Digit3 Digit4 Digit5
    Digit6 Digit7 Digit8 Digit9 Equal IntlBackslash IntlRo IntlYen KeyA KeyB KeyC KeyD KeyE KeyF
    KeyG KeyH KeyI KeyJ KeyK KeyL KeyM KeyN KeyO KeyP KeyQ KeyR KeyS KeyT KeyU KeyV KeyW KeyX KeyY
    KeyZ Minus Period Quote Semicolon Slash AltLeft AltRight Backspace CapsLock ContextMenu
    ControlLeft ControlRight Enter SuperLeft SuperRight ShiftLeft ShiftRight Space Tab Convert
    KanaMode Lang1 Lang2 Lang3 Lang4 Lang5 NonConvert Delete End Help Home Insert PageDown PageUp
    ArrowDown ArrowLeft ArrowRight ArrowUp NumLock Numpad0 Numpad1 Numpad2 Numpad3 Numpad4 Numpad5
    Numpad6 Numpad7 Numpad8 Numpad9 NumpadAdd NumpadBackspace NumpadClear NumpadClearEntry
    NumpadComma NumpadDecimal NumpadDivide NumpadEnter NumpadEqual NumpadHash NumpadMemoryAdd
    NumpadMemoryClear NumpadMemoryRecall NumpadMemoryStore NumpadMemorySubtract NumpadMultiply
    NumpadParenLeft NumpadParenRight NumpadStar NumpadSubtract Escape Fn FnLock PrintScreen
    ScrollLock Pause BrowserBack BrowserFavorites BrowserForward BrowserHome BrowserRefresh
    BrowserSearch BrowserStop Eject LaunchApp1 LaunchApp2 LaunchMail MediaPlayPause MediaSelect
    MediaStop MediaTrackNext MediaTrackPrevious Power Sleep AudioVolumeDown AudioVolumeMute
    AudioVolumeUp WakeUp Meta Hyper Turbo Abort Resume Suspend Again Copy Cut Find Open Paste Props
    Select Undo Hiragana Katakana F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F13 F14 F15 F16 F17 F18 F19
    F20 F21 F22 F23 F24 F25 F26 F27 F28 F29 F30 F31 F32 F33 F34 F35
}

impl KeyCode {
    /// All keys in the order of their numbers.
    pub fn iter() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::KeyCode;

    #[test]
    fn keys_keep_their_numbers() {
        assert_eq!(KeyCode::iter().count(), 194);
        for (key, number) in [
            (KeyCode::Backquote, 0),
            (KeyCode::Enter, 57),
            (KeyCode::ArrowUp, 82),
            (KeyCode::NumpadEnter, 101),
            (KeyCode::F1, 159),
            (KeyCode::F35, 193),
        ] {
            assert_eq!(key as u32, number, "{key:?}");
        }
        for (place, key) in KeyCode::iter().enumerate() {
            assert_eq!(key as usize, place);
        }
    }
}
