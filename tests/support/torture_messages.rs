//! The torture messages of RFC 4475 and RFC 5118 as bytes, for all who read messages.

const RFC_4475: &str = include_str!("../data/torture/rfc4475.txt");
const RFC_5118: &str = include_str!("../data/torture/rfc5118.txt");

/// Every message with its name and, where the RFC has an archive, the hash of its bytes there.
pub fn all() -> impl Iterator<Item = (&'static str, Vec<u8>, Option<&'static str>)> {
    [RFC_4475, RFC_5118].into_iter().flat_map(|file| file.split("=== ").skip(1)).map(|section| {
        let (heading, text) = section.split_once('\n').expect("a heading stands in a line");
        let mut words = heading.split(' ');
        (words.next().expect("a name"), bytes_of(text), words.nth(1))
    })
}

/// The notation of RFC 4475 §2 as bytes. Lines end in CRLF.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut lines = String::new();
    let mut one_line = false;
    for line in text.lines() {
        match line {
            "<allOneLine>" => one_line = true,
            "</allOneLine>" => {
                one_line = false;
                lines.push_str("\r\n");
            }
            line => lines.extend([line, if one_line { "" } else { "\r\n" }]),
        }
    }
    let mut bytes = Vec::new();
    let mut rest = lines.as_str();
    while let Some((before, tag)) = rest.split_once("<hex>") {
        let (digits, after) = tag.split_once("</hex>").expect("it ends");
        repeated(before, &mut bytes);
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")));
        rest = after;
    }
    repeated(rest, &mut bytes);
    bytes
}

fn repeated(text: &str, bytes: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once("<repeat count=") {
        let (count, tag) = tag.split_once('>').expect("a count");
        let (value, after) = tag.split_once("</repeat>").expect("it ends");
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend(value.repeat(count.parse().expect("a number")).into_bytes());
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
}
