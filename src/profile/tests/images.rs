//! Pictures: encapsulated data, base64 in other places, names of files.

use super::*;
use crate::{
    config::choice::Unmapped,
    model::{
        IMAGE_BYTES_MAX, ImageBytes, ImageFault, ImageFormat, ImageSeen, ImageSource,
        ObservationKind,
    },
};

/// One point, and its Base64.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
const GIF_BASE64: &str = "R0lGODlhAQABAAAAADs=";

fn images(decoded: &Decoded) -> Vec<&ImageSeen> {
    let items = decoded.items.iter();
    items
        .filter_map(|item| match item {
            Item::Image(image) => Some(image.as_ref()),
            Item::Observation(_) | Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
        })
        .collect()
}

/// An ORU with one OBX of type ED.
fn encapsulated(value: &str) -> String {
    format!(
        "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.5.1\rOBR|1||25\rOBX|1|ED|H^Hist||{value}||||||F\r"
    )
}

fn source_of(value: &str) -> ImageSource {
    let decoded = decode_text(&line("generic/hl7"), &encapsulated(value));
    let found = images(&decoded);
    assert_eq!((found.len(), decoded.items.len()), (1, 1), "{value}");
    found[0].source.clone()
}

#[test]
fn encapsulated_data_is_a_picture_of_its_tube_and_waits_for_no_mapping() {
    let value = format!("^Image^GIF^Base64^{GIF_BASE64}");
    let raw = encapsulated(&value);
    let decoded = decode_text(&line("generic/hl7"), &raw);
    let [image] = images(&decoded)[..] else {
        panic!("{decoded:?}")
    };
    assert_eq!(image.code, "H");
    assert_eq!(image.kind, ObservationKind::Patient);
    assert_eq!(
        image.specimen.as_ref().map(|tube| tube.id.as_str()),
        Some("25")
    );
    assert_eq!(image.declared, "image/gif");
    assert_eq!(image.text, value, "the field as sent");
    assert!(
        raw.get(image.span.clone())
            .is_some_and(|row| row.starts_with("OBX|1|ED"))
    );
    let wanted = ImageBytes {
        format: Some(ImageFormat::Gif),
        bytes: GIF.to_vec(),
    };
    assert_eq!(image.source, ImageSource::Bytes(wanted));
}

#[test]
fn a_picture_is_what_its_bytes_are_whatever_its_sender_calls_it() {
    for value in [
        format!("^Image^PNG^Base64^{GIF_BASE64}"),
        format!("^text^html^BASE64^{GIF_BASE64}"),
        // Broken lines, no padding, and hexadecimal digits.
        "^Image^GIF^Base64^R0lGODlh\\X0D0A\\AQABAAAAADs".to_owned(),
        "^IM^GIF^Hex^474946383961010001000000003B".to_owned(),
    ] {
        let ImageSource::Bytes(image) = source_of(&value) else {
            panic!("{value}")
        };
        assert_eq!(
            (image.media_type(), image.bytes.as_slice()),
            ("image/gif", GIF),
            "{value}"
        );
    }
    let ImageSource::Bytes(script) = source_of("^Image^PNG^Base64^PHNjcmlwdD4=") else {
        panic!("it can be decoded")
    };
    assert_eq!(script.format, None);
    assert_eq!(script.media_type(), "application/octet-stream");
}

#[test]
fn data_that_cannot_be_read_says_why_and_nothing_is_guessed() {
    let large = "A".repeat(IMAGE_BYTES_MAX / 3 * 4 + 8);
    for (value, fault) in [
        ("^Image^BMP^Base64^Qk0*", ImageFault::Damaged),
        ("^Image^BMP^Base64^Q", ImageFault::Damaged),
        ("^Image^BMP^Base64^Qk0=Qk0=", ImageFault::Damaged),
        ("^Image^BMP^Base64^ảnh", ImageFault::Damaged),
        ("^Image^BMP^Hex^4", ImageFault::Damaged),
        ("^Image^BMP^Hex^424", ImageFault::Damaged),
        ("^Image^BMP^Hex^4Z", ImageFault::Damaged),
        ("^Image^BMP^Base64^", ImageFault::NoData),
        ("^Image^BMP^Base64^   ", ImageFault::NoData),
        ("^Image^BMP^^Qk0=", ImageFault::NoEncoding),
        ("^Image^BMP^A^BM", ImageFault::OtherEncoding),
        ("", ImageFault::NoEncoding),
        (&format!("^Image^BMP^Base64^{large}"), ImageFault::TooLarge),
    ] {
        let start: String = value.chars().take(40).collect();
        assert_eq!(source_of(value), ImageSource::Unreadable(fault), "{start}");
    }
}

#[test]
fn a_document_that_a_site_maps_to_a_test_stays_a_result() {
    let raw = encapsulated("^Image^BMP^Base64^Qk0=");
    let with = |unmapped, tests: &[(&str, &str)]| {
        let tests = tests
            .iter()
            .map(|(code, test)| ((*code).to_owned(), (*test).to_owned()));
        let line = profile("generic/hl7").for_line(LineSettings {
            unmapped,
            tests: tests.collect(),
            ..LineSettings::default()
        });
        let decoded = decode_text(&line, &raw);
        (observations(&decoded).len(), images(&decoded).len())
    };
    assert_eq!(with(Unmapped::Hold, &[]), (0, 1));
    assert_eq!(
        with(Unmapped::Pass, &[]),
        (0, 1),
        "a picture is no test by itself"
    );
    assert_eq!(with(Unmapped::Hold, &[("H", "REPORT")]), (1, 0));
    assert_eq!(with(Unmapped::Pass, &[("H", "REPORT")]), (1, 0));
}

#[test]
fn a_result_that_names_a_file_is_a_picture_and_no_name_leads_out_of_a_folder() {
    let line = line("sysmex/xn");
    let source = |sent: &str| {
        let raw = format!(
            "H|\\^&|||XN-10\rP|1\rO|1||^^25^B|^^^^WBC|||||||N\r\
             R|1|^^^^SCAT_WDF|{sent}|||N||F\rL|1|N\r"
        );
        let decoded = decode_text(&line, &raw);
        let found = images(&decoded);
        assert_eq!(found.len(), 1, "{sent}: {:?}", decoded.items);
        assert_eq!(found[0].declared, "image/png");
        found[0].source.clone()
    };
    for (sent, name) in [
        ("PNG&R&20250115&R&2025_WDF.PNG", "2025_WDF.PNG"),
        ("2025_WDF.PNG", "2025_WDF.PNG"),
        ("..&R&..&R&etc/passwd", "passwd"),
    ] {
        assert_eq!(source(sent), ImageSource::File(name.to_owned()), "{sent}");
    }
    for (sent, fault) in [
        ("", ImageFault::NoName),
        ("   ", ImageFault::NoName),
        ("..", ImageFault::BadName),
        ("PNG&R&", ImageFault::BadName),
        ("PNG&R&..", ImageFault::BadName),
        ("C:", ImageFault::BadName),
        (".ssh", ImageFault::BadName),
        (&"x".repeat(300), ImageFault::BadName),
    ] {
        assert_eq!(source(sent), ImageSource::Unreadable(fault), "{sent}");
    }
}

#[test]
fn the_picture_of_a_control_is_a_controls() {
    let raw = "H|\\^&|||XN-10\rP|1\rO|1||^^QC-52151401^A|^^^^WBC|||||||N\r\
               R|1|^^^^SCAT_WDF|a.PNG|||N||F\rL|1|N\r";
    let decoded = decode_text(&line("sysmex/xn"), raw);
    assert_eq!(images(&decoded)[0].kind, ObservationKind::Control);
}

#[test]
fn a_profile_says_where_base64_stands_outside_of_hl7() {
    let line = line_of(
        "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n\
         [result]\ncode = \"R.3.4\"\nvalue = \"R.4\"\n\
         [[image]]\nwhen = [\"R.3.4 = CURVE\"]\ndata = \"R.4.2\"\n",
    );
    let raw = format!("H|\\^&\rP|1\rO|1|25\rR|1|^^^CURVE|GIF^{GIF_BASE64}\rL|1|N\r");
    let decoded = decode_text(&line, &raw);
    let ImageSource::Bytes(image) = &images(&decoded)[0].source else {
        panic!("{decoded:?}")
    };
    assert_eq!(image.bytes, GIF);
}

#[test]
fn a_message_has_so_many_pictures_and_no_row_of_it_is_lost() {
    let mut raw = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.5.1\rOBR|1||25\r".to_owned();
    for number in 1..=300 {
        raw.push_str(&format!(
            "OBX|{number}|ED|H{number}||^Image^GIF^Base64^{GIF_BASE64}||||||F\r"
        ));
    }
    let decoded = decode_text(&line("generic/hl7"), &raw);
    assert_eq!((images(&decoded).len(), decoded.items.len()), (256, 300));
}

#[test]
fn an_image_rule_needs_a_way_to_know_it_and_one_place() {
    for (rule, is_right) in [
        ("code = \"S*\"\nfile = \"R.4\"", true),
        (
            "when = [\"R.2 = 1\"]\ndata = \"R.4\"\nmedia_type = \"image/png\"",
            true,
        ),
        ("file = \"R.4\"", false),
        ("code = \"S*\"", false),
        ("code = \"S*\"\nfile = \"R.4\"\ndata = \"R.4\"", false),
        (
            "code = \"S*\"\nfile = \"R.4\"\nmedia_type = \"image/svg+xml\"",
            false,
        ),
    ] {
        let text = format!(
            "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n\
             [result]\ncode = \"R.3.4\"\nvalue = \"R.4\"\n[[image]]\n{rule}\n"
        );
        let (profile, _) = load("test/profile", &text);
        assert_eq!(profile.is_some(), is_right, "{rule}");
    }
}
