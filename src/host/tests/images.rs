//! Pictures beside results: kept once, linked to one tube, told once.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::*;
use crate::{
    image::{self, LINK_WINDOW, Shown, TakenFile},
    model::{ImageBytes, ImageFault, ImageSeen, ImageSource},
    store::Sql,
};

/// A whole picture that says its number.
fn picture(number: u8) -> Vec<u8> {
    let mut bytes = b"GIF89a\x01\x00\x01\x00\x00\x00".to_vec();
    bytes.extend([number, b';']);
    bytes
}

fn seen(code: &str, tube: &str, source: ImageSource) -> Item {
    let mut like = words(code, "");
    let specimen = like.specimen.take().map(|mut specimen| {
        specimen.id = tube.to_owned();
        specimen
    });
    Item::Image(Box::new(ImageSeen {
        kind: ObservationKind::Patient,
        specimen,
        code: code.to_owned(),
        text: String::new(),
        declared: "image/gif".to_owned(),
        source,
        span: 0..0,
    }))
}

fn inline(code: &str, number: u8) -> Item {
    seen(
        code,
        "T1",
        ImageSource::Bytes(ImageBytes::new(picture(number))),
    )
}

fn named(code: &str, tube: &str, file: &str) -> Item {
    seen(code, tube, ImageSource::File(file.to_owned()))
}

fn result(test: &str, text: &str, ucum: &str) -> Item {
    Item::Observation(Box::new(full(test, text, ucum)))
}

fn wanting() -> Bench {
    let mut bench = Bench::with(|site| site.gets_images = true);
    bench.replies(&oml("M1", CBC));
    bench
}

impl Bench {
    /// A file stands whole in the folder of the instrument; says whether something is to be sent.
    fn file(&self, name: &str, number: u8) -> bool {
        let hosts = Vec::from_iter(self.site.gets_images.then(|| self.site.id.clone()));
        let (name, now) = (name.to_owned(), self.now);
        self.work(move |db| {
            let file = TakenFile {
                line: "xn-1".to_owned(),
                name,
                image: ImageBytes::new(picture(number)),
                modified_at: now,
            };
            image::take(db, &file, &hosts, now)
        })
    }

    fn shown(&self, tube: &'static str) -> Vec<Shown> {
        self.work(move |db| image::of_barcode(db, tube, 50))
    }

    /// Number of the picture of each image of a tube, oldest first.
    fn numbers(&self, tube: &'static str) -> Vec<Option<u8>> {
        let mut shown = self.shown(tube);
        shown.reverse();
        let number = |one: &Shown| {
            let id = one.id;
            let found = self.work(move |db| image::bytes(db, id))?;
            found.2.get(12).copied()
        };
        shown.iter().map(number).collect()
    }

    fn contents(&self) -> i64 {
        const COUNT: Sql = Sql::same("SELECT count(*) FROM image_content");
        self.work(|db| db.row(&COUNT, &[])?.int(0))
    }
}

/// OBX-3.1 and the number of the picture, of every OBX of type ED.
fn told(sent: &str) -> Vec<(String, u8)> {
    let obx = sent.lines().filter(|line| line.starts_with("OBX|"));
    let fields = obx.map(|line| line.split('|').collect::<Vec<_>>());
    let pictures = fields.filter(|fields| fields[2] == "ED");
    pictures
        .map(|fields| {
            let value: Vec<&str> = fields[5].split('^').collect();
            assert_eq!(value[..4], ["xn-1", "IM", "GIF", "Base64"]);
            let bytes = BASE64_STANDARD.decode(value[4]).expect("Base64");
            assert_eq!(bytes, picture(bytes[12]), "exactly the bytes");
            let code = fields[3].split('^').next().unwrap_or_default();
            (code.to_owned(), bytes[12])
        })
        .collect()
}

#[test]
fn a_host_that_wants_pictures_gets_them_behind_the_results_and_once() {
    let mut bench = wanting();
    bench.say(vec![
        inline("HIST", 1),
        result("WBC", "6.40", "10*9/L"),
        inline("SCAT", 2),
    ]);
    let sent = bench.sent();
    assert_eq!(
        told(&sent),
        [("HIST".to_owned(), 1), ("SCAT".to_owned(), 2)]
    );
    let kinds: Vec<&str> = sent
        .lines()
        .filter(|line| line.starts_with("OBX|"))
        .filter_map(|line| line.split('|').nth(2))
        .collect();
    assert_eq!(kinds, ["NM", "ED", "ED"]);
    // The message comes again, and another result of the tube comes.
    bench.say(vec![inline("HIST", 1), result("WBC", "6.40", "10*9/L")]);
    bench.measure(vec![full("HGB", "131", "g/L")]);
    assert_eq!(told(&bench.sent()), []);
    assert_eq!(bench.contents(), 2, "the bytes stand once");
    assert_eq!(bench.numbers("T1"), [Some(1), Some(2), Some(1)]);
}

#[test]
fn a_host_that_does_not_want_pictures_gets_none_and_they_are_kept() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", CBC));
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        inline("HIST", 1),
        named("SCAT", "T1", "a.gif"),
    ]);
    let sent = bench.sent();
    assert!(sent.contains("6.40") && !sent.contains("|ED|"), "{sent}");
    assert!(!bench.file("a.gif", 2));
    assert_eq!(bench.sent(), "");
    assert_eq!(bench.numbers("T1"), [Some(1), Some(2)]);
}

#[test]
fn pictures_of_what_is_held_wait_with_it_and_hold_nothing() {
    let mut bench = wanting();
    let mut held = full("WBC", "6.40", "10*9/L");
    held.holds = vec![crate::model::Hold::new(
        crate::model::HoldReason::SuspectFlag,
        "W",
    )];
    bench.say(vec![Item::Observation(Box::new(held)), inline("HIST", 1)]);
    assert_eq!(bench.sent(), "", "a picture goes with a result");
    let unreadable = ImageSource::Unreadable(ImageFault::Damaged);
    bench.say(vec![
        result("HGB", "131", "g/L"),
        seen("SCAT", "T1", unreadable),
        named("WDF", "T1", "never.gif"),
    ]);
    let sent = bench.sent();
    assert!(sent.contains("131") && told(&sent).is_empty(), "{sent}");
    let faults: Vec<_> = bench.shown("T1").into_iter().map(|one| one.fault).collect();
    assert_eq!(faults, [None, Some(ImageFault::Damaged), None]);
}

#[test]
fn a_file_that_came_first_goes_with_its_result() {
    let mut bench = wanting();
    assert!(!bench.file("a.gif", 7));
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        named("WDF", "T1", "a.gif"),
    ]);
    assert_eq!(told(&bench.sent()), [("WDF".to_owned(), 7)]);
}

#[test]
fn a_file_that_comes_before_its_result_is_sent_goes_with_it() {
    let mut bench = wanting();
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        named("WDF", "T1", "a.gif"),
    ]);
    assert!(!bench.file("a.gif", 7), "the waiting message takes it");
    let sent = bench.sent();
    assert!(sent.contains("6.40"), "{sent}");
    assert_eq!(told(&sent), [("WDF".to_owned(), 7)]);
    assert_eq!(bench.sent(), "");
}

#[test]
fn a_file_that_comes_later_goes_in_a_message_of_its_own_under_the_same_order() {
    let mut bench = wanting();
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        named("WDF", "T1", "a.gif"),
        named("WNR", "T1", "b.gif"),
    ]);
    let first = bench.sent();
    assert!(bench.file("a.gif", 7) && bench.file("b.gif", 8));
    let later = bench.sent();
    assert_eq!(told(&later), [("WDF".to_owned(), 7), ("WNR".to_owned(), 8)]);
    assert!(!later.contains("6.40"), "a version is told once: {later}");
    let of = |sent: &str, name: &str, field: usize| {
        let line = sent.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {sent}"));
        line.split('|').nth(field).unwrap_or_default().to_owned()
    };
    for (name, field) in [
        ("OBR|", 2),
        ("OBR|", 3),
        ("OBR|", 4),
        ("OBR|", 25),
        ("PID|", 3),
        ("SPM|", 2),
    ] {
        assert_eq!(
            of(&first, name, field),
            of(&later, name, field),
            "{name}{field}"
        );
    }
    assert_ne!(of(&first, "MSH|", 9), of(&later, "MSH|", 9));
    assert_eq!(bench.sent(), "");
}

#[test]
fn a_message_that_follows_a_tried_one_carries_its_pictures() {
    let mut bench = wanting();
    bench.say(vec![result("WBC", "6.40", "10*9/L"), inline("HIST", 1)]);
    let tried = bench.lease();
    bench.work(|db| queue::follow_tried(db, 1, "two patients became one", MORNING));
    bench.accept(&tried);
    let after = bench.sent();
    assert!(after.contains("6.40"), "{after}");
    assert_eq!(told(&after), [("HIST".to_owned(), 1)]);
    assert_eq!(bench.sent(), "");
}

#[test]
fn one_file_is_linked_to_one_tube() {
    let mut bench = wanting();
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        named("WDF", "T1", "a.gif"),
    ]);
    bench.file("a.gif", 1);
    // Sent again: the same picture. Another tube: the device gave the name again, and waits.
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        named("WDF", "T1", "a.gif"),
    ]);
    bench.say(vec![named("WDF", "T2", "a.gif")]);
    assert_eq!(bench.numbers("T1"), [Some(1), Some(1)]);
    assert_eq!(bench.numbers("T2"), [None]);
    bench.file("a.gif", 1);
    assert_eq!(bench.numbers("T2"), [None], "the same file was touched");
    bench.file("a.gif", 2);
    assert_eq!(bench.numbers("T2"), [Some(2)]);
    assert_eq!(bench.numbers("T1"), [Some(1), Some(1)]);
}

#[test]
fn what_could_be_either_is_linked_to_neither_and_says_why() {
    let mut bench = wanting();
    bench.say(vec![named("WDF", "T1", "a.gif")]);
    bench.say(vec![named("WDF", "T2", "a.gif")]);
    bench.file("a.gif", 1);
    for tube in ["T1", "T2"] {
        assert_eq!(bench.numbers(tube), [None]);
        assert_eq!(bench.shown(tube)[0].fault, Some(ImageFault::SeveralTubes));
    }
    bench.file("b.gif", 2);
    bench.file("b.gif", 3);
    bench.say(vec![named("WDF", "T3", "b.gif")]);
    assert_eq!(bench.shown("T3")[0].fault, Some(ImageFault::SeveralFiles));
}

#[test]
fn a_file_and_a_result_far_apart_have_nothing_to_do_with_each_other() {
    let mut bench = wanting();
    bench.file("a.gif", 1);
    bench.now += LINK_WINDOW + MINUTE;
    bench.say(vec![named("WDF", "T1", "a.gif")]);
    assert_eq!(bench.numbers("T1"), [None]);
}

#[test]
fn what_is_too_much_for_one_message_goes_in_the_next() {
    let mut bench = wanting();
    let large = |number: u8| {
        let mut bytes = picture(number);
        bytes.pop();
        // Two are more than one message takes.
        bytes.resize(3_300_000, number);
        bytes.push(b';');
        seen("SCAT", "T1", ImageSource::Bytes(ImageBytes::new(bytes)))
    };
    bench.say(vec![
        result("WBC", "6.40", "10*9/L"),
        large(1),
        large(2),
        large(3),
    ]);
    let count = |sent: &str| sent.lines().filter(|line| line.contains("|ED|")).count();
    let messages: Vec<String> = (0..4).map(|_| bench.sent()).collect();
    let counts: Vec<usize> = messages.iter().map(|sent| count(sent)).collect();
    assert_eq!(counts, [1, 1, 1, 0]);
    let values = messages.iter().filter(|sent| sent.contains("6.40"));
    assert_eq!(values.count(), 1);
}

crate::on_postgres_too! {
    a_host_that_wants_pictures_gets_them_behind_the_results_and_once
    a_host_that_does_not_want_pictures_gets_none_and_they_are_kept
    pictures_of_what_is_held_wait_with_it_and_hold_nothing
    a_file_that_came_first_goes_with_its_result
    a_file_that_comes_before_its_result_is_sent_goes_with_it
    a_file_that_comes_later_goes_in_a_message_of_its_own_under_the_same_order
    a_message_that_follows_a_tried_one_carries_its_pictures
    one_file_is_linked_to_one_tube
    what_could_be_either_is_linked_to_neither_and_says_why
    a_file_and_a_result_far_apart_have_nothing_to_do_with_each_other
    what_is_too_much_for_one_message_goes_in_the_next
}
