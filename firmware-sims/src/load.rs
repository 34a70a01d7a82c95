//! Load generators: as many messages as the other side acknowledges, and figures of what it took.
//!
//! They use no protocol machine: a tight loop that writes a block and waits for the answer costs
//! little of what is measured.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use labwire_protocols::astm::link::frame;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const EOT: u8 = 0x04;
const VT: u8 = 0x0B;
const FS: u8 = 0x1C;
const CR: u8 = 0x0D;
/// Longest reply that is read.
const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// What a load took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Messages that were answered, but not well.
    pub refused: u64,
    /// Bytes sent, framing included.
    pub bytes: u64,
    /// From the first byte to the last acknowledgement.
    pub elapsed: Duration,
    /// Time to acknowledgement of every message, ascending, in microseconds.
    latencies: Vec<u64>,
}

impl Figures {
    /// Messages acknowledged in a second.
    pub fn rate(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        let rate = u128::from(self.messages).saturating_mul(1_000_000) / micros;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// The time to acknowledgement that so many thousandths of the messages did not exceed.
    pub fn latency(&self, per_mille: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = last.saturating_mul(per_mille.min(1_000)) / 1_000;
        Duration::from_micros(self.latencies.get(index).copied().unwrap_or(0))
    }

    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.refused += other.refused;
        self.bytes += other.bytes;
        self.latencies.extend(other.latencies);
    }

    fn count(&mut self, is_good: bool, began: Instant) {
        if is_good {
            self.messages += 1;
        } else {
            self.refused += 1;
        }
        let micros = began.elapsed().as_micros();
        self.latencies
            .push(u64::try_from(micros).unwrap_or(u64::MAX));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages ({} refused) in {:.3} s: {}/s; p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
            self.messages,
            self.refused,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.latency(500),
            self.latency(900),
            self.latency(990),
            self.latency(1_000)
        )
    }
}

/// How much, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `host:port` of each line; connections are spread over them in turn.
    pub targets: Vec<String>,
    /// Connections at a time.
    pub connections: usize,
    /// Messages of each connection.
    pub messages: u64,
    /// Results in each message.
    pub results: usize,
    /// Makes barcodes and control ids of two loads different.
    pub seed: u64,
    /// When everything was measured, `YYYYMMDDHHMMSS`: a host may hold what is of another year.
    pub time: String,
    /// Each connection sends a message so often and no faster; `None`: as fast as it is answered.
    pub pace: Option<Duration>,
}

/// A time for loads on hosts that do not look at it.
const SOME_TIME: &str = "20250115103000";

impl Plan {
    /// One connection to one target, 20 results a message.
    pub fn one(target: impl Into<String>, messages: u64) -> Self {
        Self {
            targets: vec![target.into()],
            connections: 1,
            messages,
            results: 20,
            seed: 1,
            time: SOME_TIME.to_owned(),
            pace: None,
        }
    }

    /// The barcode of a message: what has to be ordered before, for its results to be delivered.
    pub fn barcode(&self, line: usize, number: u64) -> String {
        format!("9{:03}{line:03}{number:07}", self.seed % 1_000)
    }

    /// Waits until the message with this number is due.
    async fn wait(&self, began: Instant, number: u64) {
        if let Some(pace) = self.pace {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            tokio::time::sleep_until(began + pace.saturating_mul(number)).await;
        }
    }
}

/// Sends ORU^R01 over MLLP, on each connection as fast as it is acknowledged.
///
/// # Errors
/// If a connection cannot be made or breaks.
pub async fn mllp(plan: &Plan) -> anyhow::Result<Figures> {
    run(plan, mllp_line).await
}

/// Sends ASTM messages, one a session, every record in a frame of its own: H, P, O, the results
/// and L. With 20 results that is 24 frames.
///
/// # Errors
/// If a connection cannot be made or breaks.
pub async fn astm(plan: &Plan) -> anyhow::Result<Figures> {
    run(plan, astm_line).await
}

async fn run<F, R>(plan: &Plan, line: F) -> anyhow::Result<Figures>
where
    F: Fn(TcpStream, Plan, usize) -> R,
    R: Future<Output = anyhow::Result<Figures>> + Send + 'static,
{
    // All connections stand before the first byte is counted.
    let mut streams = Vec::new();
    for index in 0..plan.connections {
        let target = index
            .checked_rem(plan.targets.len())
            .and_then(|index| plan.targets.get(index))
            .context("a load needs a target")?;
        let stream = TcpStream::connect(target)
            .await
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let began = Instant::now();
    let mut lines = JoinSet::new();
    for (index, stream) in streams.into_iter().enumerate() {
        lines.spawn(line(stream, plan.clone(), index));
    }
    let mut figures = Figures::default();
    while let Some(done) = lines.join_next().await {
        figures.add(done.context("a line of the load broke")??);
    }
    figures.elapsed = began.elapsed();
    figures.latencies.sort_unstable();
    Ok(figures)
}

async fn mllp_line(stream: TcpStream, plan: Plan, line: usize) -> anyhow::Result<Figures> {
    let mut stream = BufReader::new(stream);
    let mut figures = Figures::default();
    let mut reply = Vec::new();
    let start = Instant::now();
    for number in 0..plan.messages {
        let control = format!("L{}-{line}-{number}", plan.seed);
        let barcode = plan.barcode(line, number);
        let block = oru(&control, &barcode, plan.results, &plan.time);
        plan.wait(start, number).await;
        let began = Instant::now();
        stream.get_mut().write_all(&block).await?;
        read_block(&mut stream, &mut reply).await?;
        let wanted = format!("|{control}");
        let is_good = contains(&reply, b"MSA|AA") || contains(&reply, b"MSA|CA");
        if !contains(&reply, wanted.as_bytes()) {
            bail!("the reply to {control} names another message");
        }
        figures.bytes += u64::try_from(block.len())?;
        figures.count(is_good, began);
    }
    Ok(figures)
}

async fn astm_line(stream: TcpStream, plan: Plan, line: usize) -> anyhow::Result<Figures> {
    let mut stream = BufReader::new(stream);
    let mut figures = Figures::default();
    let start = Instant::now();
    for number in 0..plan.messages {
        let frames = astm_frames(&plan.barcode(line, number), plan.results, &plan.time);
        plan.wait(start, number).await;
        let began = Instant::now();
        stream.get_mut().write_all(&[ENQ]).await?;
        expect_ack(&mut stream).await.context("answer to ENQ")?;
        for frame in &frames {
            stream.get_mut().write_all(frame).await?;
            expect_ack(&mut stream).await.context("answer to a frame")?;
            figures.bytes += u64::try_from(frame.len())?;
        }
        stream.get_mut().write_all(&[EOT]).await?;
        figures.count(true, began);
    }
    Ok(figures)
}

async fn expect_ack(stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    match stream.read_u8().await? {
        ACK => Ok(()),
        other => bail!("the host answered {other:#04x} instead of ACK"),
    }
}

async fn read_block(stream: &mut BufReader<TcpStream>, block: &mut Vec<u8>) -> io::Result<()> {
    block.clear();
    loop {
        if stream.read_until(CR, block).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if block.ends_with(&[FS, CR]) {
            return Ok(());
        }
        if block.len() > REPLY_BYTES_MAX {
            return Err(io::Error::other("the reply does not end"));
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A block with an ORU^R01 of so many numeric results, measured at `time`.
pub fn oru(control: &str, barcode: &str, results: usize, time: &str) -> Vec<u8> {
    let mut text = format!(
        "MSH|^~\\&|LOAD|LAB|LABWIRE|LAB|{time}||ORU^R01^ORU_R01|{control}|P|2.5.1||||||UNICODE UTF-8\rPID|1\rOBR|1||{barcode}|CHEM^Chemistry^L|||{time}\r"
    );
    for number in 1..=results {
        text.push_str(&format!(
            "OBX|{number}|NM|T{number:02}^Test number {number}^L||{}.{}|mmol/L^mmol/L^UCUM|3.9-6.1|N|||F|||{time}||OP1^LOAD^GENERATOR||LOAD^1\r",
            number % 10,
            number % 7
        ));
    }
    text.push_str(&format!("SPM|1|{barcode}||SER^Serum^HL70487\r"));
    let mut block = vec![VT];
    block.extend_from_slice(text.as_bytes());
    block.extend_from_slice(&[FS, CR]);
    block
}

/// The frames of one ASTM message, one record each: H, P, O, so many R, L.
pub fn astm_frames(barcode: &str, results: usize, time: &str) -> Vec<bytes::Bytes> {
    let mut records = vec![
        format!(r"H|\^&|||LOAD^1.0|||||LABWIRE||P|LIS2-A2|{time}"),
        "P|1".to_owned(),
        format!("O|1|{barcode}||^^^ALL|R||||||||||||||||||||F"),
    ];
    for number in 1..=results {
        records.push(format!(
            "R|{number}|^^^T{number:02}|{}.{}|mmol/L|3.9 to 6.1|N||F||OPER1||{time}|LOAD1",
            number % 10,
            number % 7
        ));
    }
    records.push("L|1|N".to_owned());
    let frames = records.iter().zip(1_u8..).map(|(record, number)| {
        let text = format!("{record}\r");
        frame(number % 8, text.as_bytes(), true)
    });
    frames.collect()
}

/// A host that acknowledges every MLLP block at once and keeps nothing: the limit of what any host
/// could do. Ends when its listener fails; drop it to stop it.
///
/// # Errors
/// If accepting fails.
pub async fn acknowledge_mllp(listener: TcpListener) -> io::Result<()> {
    count_mllp(listener, Arc::default()).await
}

/// [`acknowledge_mllp`], and a count of what was acknowledged.
///
/// # Errors
/// If accepting fails.
pub async fn count_mllp(listener: TcpListener, count: Arc<AtomicU64>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut block = Vec::new();
            while read_block(&mut stream, &mut block).await.is_ok() {
                let control = block.split(|byte| *byte == b'|').nth(9).unwrap_or_default();
                let mut reply = vec![VT];
                reply.extend_from_slice(b"MSH|^~\\&|H|H|||20250115||ACK|1|P|2.5.1\rMSA|AA|");
                reply.extend_from_slice(control);
                reply.extend_from_slice(&[CR, FS, CR]);
                if stream.get_mut().write_all(&reply).await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// A host that acknowledges every ENQ and every frame at once, checks nothing and keeps nothing.
///
/// # Errors
/// If accepting fails.
pub async fn acknowledge_astm(listener: TcpListener) -> io::Result<()> {
    const LF: u8 = 0x0A;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Ok(byte) = stream.read_u8().await {
                let is_due = matches!(byte, ENQ | LF);
                if is_due && stream.get_mut().write_all(&[ACK]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn every_message_of_every_connection_is_counted_once() {
        let (listener, address) = listener().await;
        let host = tokio::spawn(acknowledge_mllp(listener));
        let plan = Plan {
            connections: 3,
            ..Plan::one(address, 20)
        };
        let figures = mllp(&plan).await.expect("figures");
        host.abort();
        assert_eq!((figures.messages, figures.refused), (60, 0));
        assert_eq!(figures.latencies.len(), 60);
        assert!(figures.latency(500) <= figures.latency(990));
        assert!(figures.rate() > 0);
    }

    #[tokio::test]
    async fn an_astm_load_sends_every_record_in_its_own_frame() {
        let (listener, address) = listener().await;
        let host = tokio::spawn(acknowledge_astm(listener));
        let figures = astm(&Plan::one(address, 5)).await.expect("figures");
        host.abort();
        let frames = astm_frames("90010000000000", 20, SOME_TIME);
        let bytes: usize = frames.iter().map(bytes::Bytes::len).sum();
        assert_eq!(frames.len(), 24);
        assert_eq!(figures.messages, 5);
        assert_eq!(figures.bytes, 5 * u64::try_from(bytes).expect("small"));
    }

    #[tokio::test]
    async fn a_reply_to_another_message_ends_the_load() {
        let (listener, address) = listener().await;
        let host = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream
                .write_all(b"\x0bMSA|AA|other\x1c\r")
                .await
                .expect("written");
            stream
        });
        let error = mllp(&Plan::one(address, 1)).await.expect_err("an error");
        assert!(
            error.to_string().contains("names another message"),
            "{error}"
        );
        host.abort();
    }

    #[test]
    fn percentiles_are_read_from_the_sorted_list() {
        let figures = Figures {
            latencies: (0..=1_000).collect(),
            ..Figures::default()
        };
        assert_eq!(figures.latency(500), Duration::from_micros(500));
        assert_eq!(figures.latency(990), Duration::from_micros(990));
        assert_eq!(figures.latency(1_000), Duration::from_micros(1_000));
        assert_eq!(Figures::default().latency(500), Duration::ZERO);
    }
}
