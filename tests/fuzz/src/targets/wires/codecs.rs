//! Readers of every wire but HL7.

use labwire_protocols::{
    astm::{
        link::{Deframed, deframe},
        record::{Message, Record, continuation},
    },
    bci, beckman_au,
    charset::Charset,
    dimension, poct1a,
    poct1a::xml::{Document, Element},
    sysmex_legacy,
};

use crate::targets::feed::{self, Feed};

pub(crate) fn astm_records(data: &[u8]) {
    let (message, notes) = Message::parse(data);
    let limit = u64::try_from(data.len()).expect("an input is short");
    assert!(notes.iter().all(|note| note.at <= limit), "{notes:?}");
    let mut end = 0;
    for (index, record) in message.walk() {
        let span = record.span();
        assert!(
            end <= span.start && span.start <= span.end,
            "records lie apart"
        );
        let between = &data[end..span.start];
        assert!(is_noise(between), "{between:?} is in no record");
        assert_eq!(record.bytes(), &data[span.clone()]);
        end = span.end;
        fields_are_the_record(record);
        assert!(
            message
                .children(index)
                .all(|(_, child)| child.place().parent == Some(index))
        );
        assert!(!format!("{:?}", record.view()).is_empty());
    }
    assert!(
        is_noise(&data[end..data.len() - message.unparsed().len()]),
        "the end is in no record"
    );
    if message.refused().is_some() {
        assert!(!message.is_complete(), "what is refused is not complete");
    }
    // Cut anywhere and gone on with itself.
    let at = data
        .first()
        .map_or(0, |byte| usize::from(*byte).min(data.len()));
    for (cut, next) in [
        (&data[..at], data),
        (data, &data[at..]),
        (&data[..at], &data[at..]),
    ] {
        if let Some(found) = continuation(cut, next) {
            assert!(found.kept <= cut.len() && found.from <= next.len());
        }
    }
}

/// What stands between records: their ends, and what is noted as no record.
fn is_noise(bytes: &[u8]) -> bool {
    let mark = [0xEF, 0xBB, 0xBF];
    bytes
        .strip_prefix(&mark)
        .unwrap_or(bytes)
        .iter()
        .all(|byte| *byte <= b' ' || *byte == 0x7F)
}

fn fields_are_the_record(record: &Record<'_>) {
    let delimiters = record.delimiters();
    for field in record.fields() {
        let joined: Vec<_> = field
            .repeats()
            .map(|repeat| {
                let parts: Vec<_> = repeat
                    .components()
                    .map(|part| part.raw().to_vec())
                    .collect();
                parts.join(&delimiters.component())
            })
            .collect();
        assert_eq!(joined.join(&delimiters.repeat()), field.raw());
        assert!(
            field.text(Charset::Latin1).is_ok(),
            "every byte is a character of Latin 1"
        );
        let (stamp, _) = field.timestamp();
        assert!(stamp.is_none_or(|at| at.month <= 12 && at.day <= 31 && at.hour <= 24));
    }
}

pub(crate) fn astm_deframe(data: &[u8]) {
    let mut length = 0;
    for found in deframe(data) {
        if let Deframed::Message(received) = found {
            length += received.bytes.len();
        }
    }
    // A line feed may stand for the end of a record, never two bytes for one.
    assert!(
        length <= data.len() * 2 + 16,
        "{length} bytes out of {}",
        data.len()
    );
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
}

pub(crate) fn beckman_text(data: &[u8]) {
    use beckman_au::{Class, Content, Dialect, Model, read};
    let mut feed = Feed(data);
    let on = feed.switches();
    let mut dialect = Dialect::host(Model::Au5800);
    if on[0] {
        dialect = Dialect::instrument(Model::Au5800);
    }
    if on[1] {
        dialect.class = Class::A;
    }
    if on[2] {
        dialect.block_end = 3;
    }
    let text = feed.0;
    let Ok((read, notes)) = read(text, &dialect) else {
        return;
    };
    assert!(
        notes
            .iter()
            .all(|note| usize::try_from(note.at).is_ok_and(|at| at <= text.len()))
    );
    assert!(lies_in(read.unit_no.raw(), text));
    if let Content::Unread(blocks) = &read.content {
        assert!(blocks.iter().all(|block| lies_in(block.raw(), text)));
    }
    assert!(!format!("{read:?}").is_empty());
}

pub(crate) fn dimension_message(data: &[u8]) {
    let layout = dimension::Layout::default();
    let Ok((read, notes)) = dimension::read(data, &layout) else {
        return;
    };
    assert!(
        notes
            .iter()
            .all(|note| usize::try_from(note.at).is_ok_and(|at| at <= data.len()))
    );
    match &read {
        dimension::Message::Query(query) => assert!(lies_in(query.sample_id.raw(), data)),
        dimension::Message::Results(results) => {
            std::hint::black_box((results.control(), results.completed()));
        }
        _ => {}
    }
    assert!(!format!("{read:?}").is_empty());
}

pub(crate) fn bci_message(data: &[u8]) {
    let Ok((message, notes)) = bci::read(data) else {
        return;
    };
    assert!(
        notes
            .iter()
            .all(|note| usize::try_from(note.at).is_ok_and(|at| at <= data.len()))
    );
    let mut end = 0;
    for field in &message.fields {
        let span = field.span();
        assert!(
            end <= span.start && span.end <= data.len(),
            "fields lie apart"
        );
        assert_eq!(field.raw(), &data[span.clone()]);
        assert!(field.text().len() <= field.raw().len());
        end = span.end;
    }
    for test in &message.tests {
        if let Some(quantity) = test.quantitative {
            let (number, unit) = bci::message::split_quantity(quantity.raw());
            assert!(number.end <= quantity.raw().len() && unit.end <= quantity.raw().len());
        }
    }
}

pub(crate) fn sysmex_text(data: &[u8]) {
    let mut feed = Feed(data);
    let mut layout = sysmex_legacy::Layout::kx21();
    layout.texts.extend(sysmex_legacy::Layout::xn_query().texts);
    assert!(layout.check().is_ok());
    if feed.byte() % 2 == 1 {
        // A narrow one, so that chance fills it.
        layout.texts[0].columns.truncate(4);
    }
    let text = feed.0;
    let Ok((lines, _)) = sysmex_legacy::read(text, &layout) else {
        return;
    };
    for line in lines {
        assert_eq!(line.raw(), &text[line.span()]);
        let Some(known) = line.layout else { continue };
        assert_eq!(line.raw().len(), known.width());
        for column in &known.columns {
            let Some(cell) = line.cell(&column.name) else {
                continue;
            };
            assert_eq!(cell.raw(), &text[cell.span()]);
            assert!(cell.value().len() <= cell.raw().len());
            std::hint::black_box((cell.flag(), cell.scaled()));
        }
    }
}

pub(crate) fn poct1a_xml(data: &[u8]) {
    if let Ok(document) = Document::read(data) {
        let root = document
            .root()
            .expect("a document that is read has its root");
        assert!(root.span().end <= data.len());
        element_is_inside(&root, 0);
    }
    if let Ok((message, notes)) = poct1a::read(data) {
        assert!(
            notes
                .iter()
                .all(|note| usize::try_from(note.at).is_ok_and(|at| at <= data.len()))
        );
        assert!(!format!("{message:?}").is_empty());
    }
    // What is written says what was meant.
    if let Ok(text) = std::str::from_utf8(data) {
        let head = poct1a::writer::Head {
            control_id: "1",
            created: None,
        };
        let Ok(written) = poct1a::writer::directive(head, text) else {
            return;
        };
        let document = Document::read(&written).expect("what is written is well-formed");
        let root = document.root().expect("it has a root");
        let found = value_of(&root, b"DTV.command_cd");
        assert_eq!(found.as_deref(), Some(text.as_bytes()));
    }
}

fn value_of(element: &Element<'_, '_>, name: &[u8]) -> Option<Vec<u8>> {
    if element.name() == name {
        return element.value().map(|value| value.unescaped().into_owned());
    }
    element.children().find_map(|child| value_of(&child, name))
}

fn element_is_inside(element: &Element<'_, '_>, depth: usize) {
    assert!(depth <= poct1a::dialect::DEPTH_MAX, "depth is bounded");
    let span = element.span();
    for attribute in element.attributes() {
        assert!(
            attribute.value.span().end <= span.end && attribute.value.span().start >= span.start
        );
        assert!(!attribute.value.unescaped().is_empty() || attribute.value.raw().is_empty());
    }
    let mut end = span.start;
    for child in element.children() {
        assert!(
            end <= child.span().start && child.span().end <= span.end,
            "children lie apart, inside"
        );
        end = child.span().end;
        element_is_inside(&child, depth + 1);
    }
}

pub(crate) fn charset(data: &[u8]) {
    let mut feed = Feed(data);
    let sets: Vec<_> = Charset::all().collect();
    let set = *feed.pick(&sets);
    assert_eq!(Charset::from_label(set.label()), Some(set));
    let bytes = feed.0;
    match set.decode(bytes) {
        Ok(text) => {
            if let Ok(again) = set.encode(&text) {
                assert_eq!(set.decode(&again).as_deref(), Ok(&*text));
            }
        }
        Err(error) => assert!(error.at < bytes.len()),
    }
    let text = feed::text(bytes);
    let text = text.trim_start_matches('\u{feff}');
    if let Ok(encoded) = set.encode(text)
        && set != Charset::Windows1258
    {
        assert_eq!(set.decode(&encoded).as_deref(), Ok(text));
    }
    let (encoded, _) = set.encode_or_transliterate(text);
    assert!(set.decode(&encoded).is_ok());
}
