//! `labwire-sim his`.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{HisArgs, LOOK_EVERY, exit};
use crate::{
    clock::Clock,
    his::{
        Answering, Book, Control, Item, Orders, Patient, Policy, Refusal, Request, Version, Writer,
        http, place_orders, serve_results,
    },
    port::Port,
    runner::Wire,
};

pub(super) async fn run(
    arguments: HisArgs,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<ExitCode> {
    if arguments.orders.is_none() && arguments.results.is_none() && arguments.http.is_none() {
        bail!("a HIS needs --orders, --results or --http");
    }
    let clock = Clock::real(420);
    let answering = Answering {
        is_enhanced: arguments.enhanced,
        otherwise: arguments.policy,
        ..Answering::by_chance(arguments.chance.clone(), arguments.seed)
    };
    let book = Book::new(answering, clock);
    let board = http::Board::default();
    let orders = Orders::default();
    place(&arguments, &book, &board, &orders)?;
    let mut tasks = JoinSet::new();
    let stop = cancel.child_token();
    if let Some(address) = &arguments.results {
        let listener = listen(address, "results", out).await?;
        tasks.spawn(serve_results(listener, book.clone(), stop.clone()));
    }
    if let Some(address) = &arguments.http {
        let listener = listen(address, "http", out).await?;
        tasks.spawn(http::serve(listener, book.clone(), board, stop.clone()));
    }
    if let Some(address) = &arguments.orders {
        let port = Port::Connect(address.clone());
        let orders = orders.clone();
        let mut wire = Wire::new(clock);
        wire.cancel = stop.clone();
        tasks.spawn(async move { place_orders(port, &orders, false, &mut wire).await });
    }
    let watching = watch(&book, &orders, arguments.until, out);
    tokio::select! {
        watched = watching => watched?,
        Some(ended) = tasks.join_next() => ended.context("a part of the HIS broke")??,
        () = cancel.cancelled() => {}
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a part of the HIS broke")??;
    }
    summary(&book, &orders, out)
}

async fn listen(
    address: &str,
    name: &str,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    writeln!(out, "{name} {}", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}

fn place(
    arguments: &HisArgs,
    book: &Book,
    board: &http::Board,
    orders: &Orders,
) -> anyhow::Result<()> {
    let time = book.stamp();
    let mut writer = Writer::since(arguments.version, &time);
    for order in &arguments.order {
        let (barcode, codes) = order
            .split_once('=')
            .with_context(|| format!("`{order}` is not BARCODE=CODE,…"))?;
        let request = request(barcode, codes, &time);
        for item in &request.items {
            let patient = &request.patient.id;
            book.with_ledger(|ledger| ledger.place(&item.placer, patient, barcode));
        }
        let written = writer.request(&request, &time);
        let text = String::from_utf8(written.bytes.to_vec())?;
        board.place(&written.control_id, text.into());
        orders.push(written);
    }
    Ok(())
}

fn request(barcode: &str, codes: &str, time: &str) -> Request {
    let items = codes.split(',').zip(1..).map(|(code, number)| Item {
        placer: format!("R{barcode}-{number}"),
        service: code.to_owned(),
        name: code.to_owned(),
    });
    Request {
        control: Control::New,
        patient: Patient {
            id: format!("BN{barcode}"),
            national_id: String::new(),
            insurance: String::new(),
            family: "NGUYỄN".to_owned(),
            given: "AN".to_owned(),
            middle: "VĂN".to_owned(),
            birth: "19800312".to_owned(),
            sex: "M".to_owned(),
        },
        group: format!("R{barcode}"),
        barcode: barcode.to_owned(),
        items: items.collect(),
        is_stat: false,
        ward: "KKB".to_owned(),
        visit: format!("V{barcode}"),
        collected: time.to_owned(),
        tube_type: "SER^Serum^HL70487".to_owned(),
    }
}

/// Says every order that is answered and every result that is taken; ends at the wanted number.
async fn watch(
    book: &Book,
    orders: &Orders,
    until: Option<usize>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let (mut told, mut answered) = (0, 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = orders.accepted();
        if now != answered {
            answered = now;
            writeln!(
                out,
                "orders {answered} accepted, {} waiting",
                orders.waiting()
            )?;
        }
        let new = book.with_ledger(|ledger| {
            ledger
                .observations()
                .iter()
                .skip(told)
                .cloned()
                .collect::<Vec<_>>()
        });
        for one in &new {
            writeln!(
                out,
                "{} {} {} {} {} ({}, {})",
                one.patient, one.barcode, one.code, one.text, one.unit, one.status, one.control_id
            )?;
        }
        told += new.len();
        out.flush()?;
        if until.is_some_and(|until| told >= until) {
            return Ok(());
        }
    }
}

fn summary(book: &Book, orders: &Orders, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (messages, observations, conflicts) = book.with_ledger(|ledger| {
        (
            ledger.messages().len(),
            ledger.observations().len(),
            ledger.conflicts().to_vec(),
        )
    });
    let refused = orders.refused();
    writeln!(
        out,
        "orders {} accepted, {} refused, {} waiting; results {observations} in {messages} messages",
        orders.accepted(),
        refused.len(),
        orders.waiting()
    )?;
    for control in &conflicts {
        writeln!(out, "two bodies under the control id {control}")?;
    }
    Ok(exit(conflicts.is_empty() && refused.is_empty()))
}

/// Reads `good`, `busy`, `cut`, `silent`, `late`, `twice`, `slow=MS`, `refuse=CODE[:ERROR]`.
pub(super) fn policy(text: &str) -> Result<Policy, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match name {
        "good" => Ok(Policy::Good),
        "busy" => Ok(Policy::Busy),
        "cut" => Ok(Policy::Cut),
        "silent" => Ok(Policy::Silent),
        "late" => Ok(Policy::Late),
        "twice" => Ok(Policy::Twice),
        "slow" => {
            let millis = value
                .parse()
                .map_err(|_| "slow=MS wants milliseconds".to_owned())?;
            Ok(Policy::Slow(Duration::from_millis(millis)))
        }
        "refuse" => refusal(value).map(Policy::Refuse),
        _ => Err(format!("`{name}` is no way to answer")),
    }
}

fn refusal(text: &str) -> Result<Refusal, String> {
    let (code, error) = text.split_once(':').unwrap_or((text, ""));
    let code = ["AE", "AR", "CE", "CR"]
        .into_iter()
        .find(|known| *known == code);
    let code = code.ok_or_else(|| "refuse=CODE wants AE, AR, CE or CR".to_owned())?;
    let error = match error {
        "" => None,
        number => Some(
            number
                .parse()
                .map_err(|_| "the error is a number of table 0357")?,
        ),
    };
    Ok(Refusal { code, error })
}

/// Reads `busy=50`: a policy and how often, per mille. A policy with a value is `slow=500=50`.
pub(super) fn rate(text: &str) -> Result<(u16, Policy), String> {
    let (name, number) = text
        .rsplit_once('=')
        .ok_or("POLICY=N wants a number per mille")?;
    let number = number.parse().ok().filter(|number| *number <= 1_000);
    let number = number.ok_or("the rate is per mille: 0 to 1000")?;
    Ok((number, policy(name)?))
}

/// Reads `2.3.1` or `2.5.1`.
pub(super) fn version(text: &str) -> Result<Version, String> {
    match text {
        "2.3.1" => Ok(Version::V231),
        "2.5.1" => Ok(Version::V251),
        _ => Err("there are 2.3.1 and 2.5.1".to_owned()),
    }
}
