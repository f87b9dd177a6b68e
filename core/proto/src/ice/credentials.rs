//! Short-term credentials.

use std::fmt;

/// The ufrag and password of one ICE session of one agent (RFC 8445 §5.3).
///
/// The caller makes them: at least 24 random bits of ufrag and 128 of password, in the characters of RFC 8839 §5.4.
/// `Debug` doesn't show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The ufrag: 4 to 256 characters, without a colon.
    pub username_fragment: String,
    /// The password: 22 to 256 characters.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username_fragment", &self.username_fragment).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_keeps_the_password_to_itself() {
        let credentials = Credentials { username_fragment: "ufrag".into(), password: "confidential".into() };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("ufrag") && !shown.contains("confidential"), "{shown}");
    }
}
