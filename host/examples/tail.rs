//! Prints changes as they are committed: `tail URL SLOT PUBLICATION`.

use pgoutput_decoder_host::{Config, Error};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let config = Config::parse(&next())?.slot(&next()).publication(&next());
    let mut stream = config.connect().await?;
    let (acknowledger, stopper) = (stream.acknowledger(), stream.stopper());
    tokio::spawn(async move { tokio::signal::ctrl_c().await.map(|()| stopper.stop()) });
    while let Some(batch) = stream.next_batch().await? {
        for event in batch.events() {
            println!("{} {}", event.topic().name, event.value().unwrap_or("null"));
            acknowledger.acknowledge(event.position())?;
        }
    }
    stream.stop().await
}
