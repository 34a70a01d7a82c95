//! Records and segments as plain text, read and written with nothing but `split` and `replace`.
//!
//! On purpose not the codecs of `labwire-protocols`: a simulator that shared them would share
//! their mistakes, and the two would agree on what no real device understands.

/// Fills `{name}` places of a template; a name that is not among `values` stays as it is.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match values.iter().find(|(key, _)| *key == name) {
            Some((_, value)) => out.push_str(value),
            None => {
                out.push('{');
                out.push_str(name);
                out.push('}');
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Field `n` of an ASTM record, counted from 1, which is its letter; empty beyond the last.
pub fn astm_field(record: &str, n: usize) -> &str {
    part(record, '|', n)
}

/// Component `n` of a field, counted from 1; empty beyond the last.
pub fn component(field: &str, n: usize) -> &str {
    part(field, '^', n)
}

/// Part `n` of a field between separators, counted from 1; empty beyond the last.
pub fn part(field: &str, separator: char, n: usize) -> &str {
    field
        .split(separator)
        .nth(n.saturating_sub(1))
        .unwrap_or("")
}

/// The segments of an HL7 message.
pub fn segments(message: &str) -> impl Iterator<Item = &str> {
    message
        .split(['\r', '\n'])
        .filter(|segment| !segment.is_empty())
}

/// Field `n` of an HL7 segment, counted as the standard counts: `MSH-1` is the separator itself.
pub fn field(segment: &str, n: usize) -> &str {
    let skipped = if segment.starts_with("MSH") { 1 } else { 0 };
    match n.checked_sub(skipped) {
        Some(0) if skipped == 1 => "|",
        Some(index) => segment.split('|').nth(index).unwrap_or(""),
        None => "",
    }
}

/// The first segment of this name.
pub fn segment<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    segments(message).find(|segment| is_named(segment, name))
}

/// Whether a segment carries this name.
pub fn is_named(segment: &str, name: &str) -> bool {
    segment.split('|').next() == Some(name)
}

/// Undoes the five escapes of HL7 that stand for a separator; anything else stays as it came.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let meant = after.split_once('\\').and_then(|(name, behind)| {
            let character = match name {
                "F" => '|',
                "S" => '^',
                "T" => '&',
                "R" => '~',
                "E" => '\\',
                _ => return None,
            };
            Some((character, behind))
        });
        let (character, behind) = meant.unwrap_or(('\\', after));
        out.push(character);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Writes text so that no separator of HL7 is left in it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\\' => out.push_str("\\E\\"),
            '\r' | '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_and_keeps_what_it_does_not_know() {
        let values = [("id", "25"), ("n", "1")];
        assert_eq!(fill("O|{n}|{id}|{other}|{", &values), "O|1|25|{other}|{");
    }

    #[test]
    fn fields_are_counted_as_the_standards_count() {
        assert_eq!(astm_field("O|1|25|^^^WBC", 4), "^^^WBC");
        assert_eq!(component("^^^WBC", 4), "WBC");
        let message = "MSH|^~\\&|A|B\rPID|1||X";
        let header = segment(message, "MSH").expect("a header");
        assert_eq!(
            (field(header, 1), field(header, 2), field(header, 3)),
            ("|", "^~\\&", "A")
        );
        assert_eq!(segment(message, "PID").map(|pid| field(pid, 3)), Some("X"));
        assert_eq!(field(header, 40), "");
    }

    #[test]
    fn escapes_come_back() {
        let text = "a|b^c&d~e \\F\\ \\";
        assert_eq!(unescape(&escape(text)), text);
    }
}
