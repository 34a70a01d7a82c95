//! Queues that will exceed their limits.

use super::*;
use crate::track::forecast::{Forecast, LOOK_EVERY_MS, News, Watch, Why, forecast};

fn of(bench: &Bench, now: u64, name: &str) -> Option<Forecast> {
    let all = forecast(&bench.track, Time::from_s(now));
    all.into_iter().find(|one| one.module == bench.at(name))
}

/// `count` tubes come to a module, one every `every` seconds; it begins with one every `serves`.
fn flow(bench: &mut Bench, module: &str, count: u64, (every, serves): (u64, u64)) {
    let mut begun = 0;
    for tube in 0..count {
        let now = tube * every;
        bench.tell(now, &format!("F{tube}"), module, SEEN);
        while begun * serves <= now && begun <= tube {
            bench.tell(now, &format!("F{begun}"), module, What::Started);
            begun += 1;
        }
    }
}

#[test]
fn a_module_that_gets_more_than_it_takes_is_foretold() {
    let mut bench = Bench::new();
    // 180 an hour come, the module takes 100.
    flow(&mut bench, "XN1", 40, (20, 36));
    let forecast = of(&bench, 780, "XN1").unwrap();
    assert_eq!((forecast.queue, forecast.limit), (18, 40));
    // 22 tubes at 80 an hour more are 16.5 minutes.
    let in_s = forecast.at.since(Time::from_s(780)) / 1_000;
    assert!((800..=1_150).contains(&in_s), "{in_s}");
    let [
        Why::Rates {
            arriving_per_hour,
            served_per_hour,
        },
    ] = forecast.why[..]
    else {
        panic!("{forecast:?}")
    };
    assert!(
        (170.0..190.0).contains(&arriving_per_hour),
        "{arriving_per_hour}"
    );
    assert!(
        (90.0..=100.0).contains(&served_per_hour),
        "{served_per_hour}"
    );
}

#[test]
fn a_module_that_keeps_up_is_not() {
    let mut bench = Bench::new();
    flow(&mut bench, "XN1", 40, (40, 36));
    assert_eq!(of(&bench, 1_560, "XN1"), None);
}

#[test]
fn tubes_on_their_way_count_before_they_are_there() {
    let mut bench = Bench::new();
    let left = bench.left_for("ACL1");
    for tube in 0..60 {
        bench.tell(0, &format!("T{tube}"), "DECAP1", left.clone());
    }
    let forecast = of(&bench, 0, "ACL1").unwrap();
    assert_eq!(forecast.queue, 0);
    assert!(
        (30..=60).contains(&(forecast.at.as_ms() / 1_000)),
        "{forecast:?}"
    );
    assert_eq!(
        forecast.why,
        [Why::OnTheWay {
            tubes: 60,
            within_ms: 40_000
        }]
    );
}

#[test]
fn what_a_centrifuge_will_hand_on_is_foretold_while_it_spins() {
    let mut bench = Bench::new();
    for tube in 0..70 {
        bench.tell(0, &format!("T{tube}"), "CENT1", What::Started);
    }
    let forecast = of(&bench, 60, "DECAP1").unwrap();
    assert_eq!(forecast.at.as_ms() / 60_000, 8, "{forecast:?}");
    bench.set(60, "CENT1", Condition::Down);
    assert_eq!(of(&bench, 60, "DECAP1"), None);
}

#[test]
fn a_jam_is_expected_to_end_and_a_module_that_is_off_is_not() {
    for (condition, since, is_foretold) in
        [(Condition::Jam, 890, false), (Condition::Down, 590, true)]
    {
        let mut bench = Bench::new();
        for tube in 0..10 {
            bench.tell(0, &format!("W{tube}"), "XN1", SEEN);
        }
        // 80 an hour come, fewer than it could take.
        for tube in 0..20 {
            bench.tell(tube * 45, &format!("T{tube}"), "XN1", SEEN);
        }
        bench.set(since, "XN1", condition);
        // A jam of five minutes adds seven tubes to thirty, and the limit is forty.
        let forecast = of(&bench, 900, "XN1");
        assert_eq!(forecast.is_some(), is_foretold, "{forecast:?}");
        let stands = |forecast: &Forecast| forecast.why.contains(&Why::Stands(condition));
        assert!(forecast.as_ref().is_none_or(stands));
    }
}

#[test]
fn an_excess_is_announced_once_and_withdrawn_once() {
    let mut bench = Bench::new();
    let mut watch = Watch::new(&bench.line);
    for tube in 0..41 {
        bench.tell(0, &format!("T{tube}"), "XN1", SEEN);
    }
    let module = bench.at("XN1");
    let mut news = Vec::new();
    for look in 0..4 {
        let now = Time::from_ms(look * LOOK_EVERY_MS);
        news.extend(watch.look(&bench.track, now));
    }
    let [News::Announced(forecast)] = &news[..] else {
        panic!("{news:?}")
    };
    assert_eq!(forecast.why[0].code(), "over-now");
    assert_eq!(watch.announced(module), Some(Time::from_ms(LOOK_EVERY_MS)));
    for tube in 0..41 {
        bench.tell(60, &format!("T{tube}"), "XN1", What::Lost);
    }
    news.clear();
    // The arrivals of the last ten minutes still count as a rate.
    for look in 60..110 {
        let now = Time::from_ms(look * LOOK_EVERY_MS);
        news.extend(watch.look(&bench.track, now));
    }
    let since = Time::from_ms(LOOK_EVERY_MS);
    assert_eq!(news, [News::Withdrawn { module, since }]);
    assert_eq!(watch.announced(module), None);
}
