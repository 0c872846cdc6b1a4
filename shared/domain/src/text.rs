//! What a text that people write must look like: a name, a reason, a note.

/// The limits of a text. It never has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    length_max: usize,
    unit: Unit,
    least: Least,
    lines: Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Characters,
    Bytes,
}

/// What a text must have at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Nothing,
    AnyCharacter,
    /// A character that is not blank.
    Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    /// Line feeds are allowed.
    Many,
}

impl TextLimits {
    /// One line of at most this many characters, which may be empty.
    pub const fn characters(length_max: usize) -> Self {
        Self {
            length_max,
            unit: Unit::Characters,
            least: Least::Nothing,
            lines: Lines::One,
        }
    }

    /// One line of at most this many bytes, which may be empty.
    pub const fn bytes(length_max: usize) -> Self {
        Self {
            unit: Unit::Bytes,
            ..Self::characters(length_max)
        }
    }

    pub const fn not_empty(self) -> Self {
        Self {
            least: Least::AnyCharacter,
            ..self
        }
    }

    pub const fn not_blank(self) -> Self {
        Self {
            least: Least::Content,
            ..self
        }
    }

    pub const fn of_many_lines(self) -> Self {
        Self {
            lines: Lines::Many,
            ..self
        }
    }

    /// # Errors
    /// What the text must look like, for people.
    pub fn check(self, text: &str) -> Result<(), TextError> {
        let is_long = match self.unit {
            Unit::Characters => text.chars().nth(self.length_max).is_some(),
            Unit::Bytes => text.len() > self.length_max,
        };
        let lacks = match self.least {
            Least::Nothing => false,
            Least::AnyCharacter => text.is_empty(),
            Least::Content => text.trim().is_empty(),
        };
        let is_control = |c: char| c.is_control() && !(c == '\n' && self.lines == Lines::Many);
        if is_long || lacks || text.chars().any(is_control) {
            return Err(TextError(self));
        }
        Ok(())
    }

    fn length(self) -> String {
        let unit = match self.unit {
            Unit::Characters => "characters",
            Unit::Bytes => "bytes",
        };
        match self.least {
            Least::Nothing => format!("at most {} {unit}", self.length_max),
            Least::AnyCharacter | Least::Content => format!("1 to {} {unit}", self.length_max),
        }
    }
}

/// Whether the text has neither blanks nor control characters.
pub(crate) fn is_one_word(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether the text has no control characters, such as line breaks.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// A text outside its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have {} and no control characters", self.0.length())]
pub struct TextError(TextLimits);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_in_its_limits() {
        let note = TextLimits::characters(3).not_blank();
        for (limits, text, fits) in [
            (TextLimits::characters(3), "", true),
            (TextLimits::characters(3), "äöü", true),
            (TextLimits::characters(3), "äöüß", false),
            (TextLimits::bytes(3), "äö", false),
            (TextLimits::characters(3).not_empty(), "", false),
            (TextLimits::characters(3).not_empty(), " ", true),
            (note, " ", false),
            (note, "a\nb", false),
            (note.of_many_lines(), "a\nb", true),
            (note.of_many_lines(), "a\tb", false),
        ] {
            assert_eq!(limits.check(text).is_ok(), fits, "{limits:?} {text:?}");
        }
    }

    #[test]
    fn the_error_says_what_fits() {
        let shown = |limits: TextLimits| limits.check("\0").unwrap_err().to_string();
        assert_eq!(
            shown(TextLimits::characters(200)),
            "must have at most 200 characters and no control characters"
        );
        assert_eq!(
            shown(TextLimits::bytes(63).not_empty()),
            "must have 1 to 63 bytes and no control characters"
        );
    }
}
