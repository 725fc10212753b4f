//! `peer answer LOCAL CALLS`: registers and answers until so many calls have ended. `peer call LOCAL CALLEE CALLS`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringfleet_interop::peer::{self, Fallible, Seen};
use tokio_util::sync::CancellationToken;

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Fallible<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["answer", local, calls] => {
            let (seen, token, calls) = (Arc::new(Seen::default()), CancellationToken::new(), calls.parse()?);
            let serving = tokio::spawn(peer::answer(local.parse()?, seen.clone(), token.clone()));
            let ended = async {
                while seen.ended.load(Ordering::Relaxed) < calls {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // The last response may still be under way.
                tokio::time::sleep(Duration::from_millis(500)).await;
            };
            let in_time = tokio::time::timeout(WITHIN, ended).await.is_ok();
            token.cancel();
            serving.await??;
            println!("{seen:?}");
            if in_time { Ok(()) } else { Err("not every call ended in time".into()) }
        }
        ["call", local, callee, calls] => {
            let calls = calls.parse()?;
            let answered = peer::call(local.parse()?, callee, calls, Duration::from_millis(500));
            let answered = tokio::time::timeout(WITHIN, answered).await??;
            println!("{answered} of {calls} calls answered");
            if answered == calls { Ok(()) } else { Err("not every call was answered".into()) }
        }
        _ => Err("peer answer LOCAL CALLS | peer call LOCAL CALLEE CALLS".into()),
    }
}
