//! Telephone numbers in outputs that not everybody may read them in.

/// A number with all but its last two digits hidden. Its length stays, and so does what stands between the digits.
pub fn masked(number: &str) -> String {
    let shown_from = number.chars().count().saturating_sub(2);
    number.chars().enumerate().map(|(i, c)| if i < shown_from && c.is_alphanumeric() { '*' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_number_keeps_its_last_two_digits_and_its_length() {
        assert_eq!(masked("0800123456"), "********56");
        assert_eq!(masked("+886-2-1234"), "+***-*-**34");
        assert_eq!(masked("12"), "12");
    }
}
