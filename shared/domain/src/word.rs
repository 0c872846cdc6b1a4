//! Enums with one text per value: the same in JSON, in the database and in messages.

/// An enum declared by [`text_enum!`](crate::text_enum).
pub trait Word: Copy + 'static {
    /// The noun that error texts use, such as `grant status`.
    const NOUN: &'static str;

    fn as_str(self) -> &'static str;

    /// Returns `None` if no value has this text.
    fn parse(text: &str) -> Option<Self>;
}

/// Declares an enum whose values have one text each, used for JSON and the database column.
///
/// ```
/// domain::text_enum! {
///     /// How a job ended.
///     pub enum Outcome as "outcome" {
///         Done = "DONE",
///         Failed = "FAILED",
///     }
/// }
/// assert_eq!(Outcome::parse("DONE"), Some(Outcome::Done));
/// assert_eq!(Outcome::Failed.to_string(), "FAILED");
/// assert_eq!(serde_json::to_string(&Outcome::ALL).unwrap(), r#"["DONE","FAILED"]"#);
/// ```
#[macro_export]
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident as $noun:literal {
            $( $(#[$value_meta:meta])* $value:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name {
            $( $(#[$value_meta])* $value, )+
        }

        #[allow(dead_code, reason = "a private enum need not use all of it")]
        impl $name {
            /// All values in order of declaration.
            pub const ALL: [Self; [$( $text ),+].len()] = [$( Self::$value ),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$value => $text, )+
                }
            }

            /// Returns `None` if no value has this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $( $text => Some(Self::$value), )+
                    _ => None,
                }
            }
        }

        impl $crate::word::Word for $name {
            const NOUN: &'static str = $noun;

            fn as_str(self) -> &'static str {
                $name::as_str(self)
            }

            fn parse(text: &str) -> Option<Self> {
                $name::parse(text)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = ::std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| ::serde::de::Error::unknown_variant(&text, &[$( $text ),+]))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    crate::text_enum! {
        /// Used by this test only.
        enum Colour as "colour" {
            Red = "RED",
            DarkBlue = "DARK_BLUE",
        }
    }

    #[test]
    fn a_word_is_the_same_everywhere() {
        for colour in Colour::ALL {
            let json = serde_json::to_string(&colour).unwrap();
            assert_eq!(json, format!("\"{colour}\""));
            assert_eq!(serde_json::from_str::<Colour>(&json).unwrap(), colour);
            assert_eq!(Colour::parse(colour.as_str()), Some(colour));
        }
        assert_eq!(Colour::DarkBlue.as_str(), "DARK_BLUE");
        assert_eq!(format!("{:>5}", Colour::Red), "  RED");
    }

    #[test]
    fn another_word_is_refused_with_those_that_exist() {
        assert_eq!(Colour::parse("red"), None);
        let error = serde_json::from_str::<Colour>("\"red\"").unwrap_err().to_string();
        assert!(
            error.starts_with("unknown variant `red`, expected `RED` or `DARK_BLUE`"),
            "{error}"
        );
        assert!(serde_json::from_str::<Colour>("1").is_err());
    }
}
