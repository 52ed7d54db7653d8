//! Reading hex in its one spelling: lower case, and exactly as many digits as there are bytes to read.

/// Reads `N` bytes from exactly `2 * N` lower-case hex digits; none if the text is anything else.
pub fn from_lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The `hex` crate also reads upper case, and one value must not have two spellings.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    let mut raw = [0; N];
    hex::decode_to_slice(text, &mut raw).ok()?;
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_lower_case_and_at_its_exact_length_only() {
        assert_eq!(from_lower_hex::<2>("09af"), Some([0x09, 0xaf]));
        assert_eq!(from_lower_hex::<0>(""), Some([]));
        for text in
            ["", "09", "09a", "09af0", "09af00", "09AF", "09aF", "09ag", " 9af", "+9af", "0x09", "09a\u{e9}"]
        {
            assert_eq!(from_lower_hex::<2>(text), None, "{text}");
        }
    }
}
