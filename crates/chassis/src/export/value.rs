//! What an attribute of a span or a log line says.

/// Bytes of a text, which may be a client's or another service's.
const MAX_TEXT: usize = 256;

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

// === impl Value ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(cut(text).to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// The text up to [`MAX_TEXT`], between characters.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_256_bytes_between_characters() {
        let most = "x".repeat(256);
        assert_eq!(cut(&most), most);
        assert_eq!(cut(&"x".repeat(257)), most);
        let wide = format!("x{}", "é".repeat(200));
        assert_eq!(cut(&wide).len(), 255);
        assert_eq!(cut(""), "");
    }
}
