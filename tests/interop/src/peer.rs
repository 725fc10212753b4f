//! rsipstack as the far end of ringfleet: a called party that answers every call, and a caller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog::{Dialog, DialogState};
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invitation::InviteOption;
use rsipstack::sip::{Header, Method, StatusCode, Uri};
use rsipstack::transaction::endpoint::Endpoint;
use rsipstack::transport::TransportLayer;
use rsipstack::transport::udp::UdpConnection;
use tokio_util::sync::CancellationToken;

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the called party has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub registered: AtomicUsize,
    pub invited: AtomicUsize,
    pub confirmed: AtomicUsize,
    pub ended: AtomicUsize,
}

fn sdp(address: SocketAddr) -> Vec<u8> {
    let ip = address.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    .into_bytes()
}

async fn endpoint(local: SocketAddr, token: &CancellationToken) -> Fallible<Endpoint> {
    let transport = TransportLayer::new(token.clone());
    let connection = UdpConnection::create_connection(local, None, Some(token.child_token())).await?;
    transport.add_transport(connection.into());
    let endpoint = EndpointBuilder::new().with_cancel_token(token.clone()).with_transport_layer(transport).build();
    let inner = endpoint.inner.clone();
    tokio::spawn(async move { inner.serve().await.ok() });
    Ok(endpoint)
}

/// Registers whoever asks and answers every call at once until the token is cancelled.
pub async fn answer(local: SocketAddr, seen: Arc<Seen>, token: CancellationToken) -> Fallible<()> {
    let endpoint = endpoint(local, &token).await?;
    let mut incoming = endpoint.incoming_transactions()?;
    let layer = Arc::new(DialogLayer::new(endpoint.inner.clone()));
    let (sender, mut states) = layer.new_dialog_state_channel();
    let contact: Uri = format!("sip:far@{local}").try_into()?;
    let (dialogs, told) = (layer.clone(), seen.clone());
    tokio::spawn(async move {
        while let Some(state) = states.recv().await {
            match state {
                DialogState::Calling(id) => {
                    if let Some(Dialog::Invite(dialog)) = dialogs.get_dialog(&id) {
                        let kind = Header::ContentType("application/sdp".into());
                        dialog.accept(Some(vec![kind]), Some(sdp(local))).ok();
                    }
                }
                DialogState::Confirmed(..) => drop(told.confirmed.fetch_add(1, Ordering::Relaxed)),
                DialogState::Terminated(id, _) => {
                    told.ended.fetch_add(1, Ordering::Relaxed);
                    dialogs.remove_dialog(&id);
                }
                _ => {}
            }
        }
    });
    loop {
        let mut transaction = tokio::select! {
            () = token.cancelled() => return Ok(()),
            next = incoming.recv() => match next { Some(next) => next, None => return Ok(()) },
        };
        if let Some(dialog) = layer.match_dialog(&transaction) {
            if let Dialog::Invite(mut dialog) = dialog {
                tokio::spawn(async move { dialog.handle(&mut transaction).await.ok() });
            }
            continue;
        }
        match transaction.original.method {
            Method::Register => {
                seen.registered.fetch_add(1, Ordering::Relaxed);
                transaction.reply(StatusCode::OK).await?;
            }
            Method::Invite => {
                seen.invited.fetch_add(1, Ordering::Relaxed);
                let mut dialog =
                    layer.get_or_create_server_invite(&transaction, sender.clone(), None, Some(contact.clone()))?;
                tokio::spawn(async move { dialog.handle(&mut transaction).await.ok() });
            }
            Method::Ack => {}
            _ => transaction.reply(StatusCode::OK).await?,
        }
    }
}

/// Places so many calls one after the other, each hung up after a while; how many were answered.
pub async fn call(local: SocketAddr, callee: &str, calls: usize, talk: Duration) -> Fallible<usize> {
    let token = CancellationToken::new();
    let endpoint = endpoint(local, &token).await?;
    let layer = Arc::new(DialogLayer::new(endpoint.inner.clone()));
    let mut answered = 0;
    for number in 0..calls {
        let (sender, _states) = layer.new_dialog_state_channel();
        let option = InviteOption {
            caller: format!("sip:caller{number}@{local}").try_into()?,
            callee: callee.try_into()?,
            contact: format!("sip:caller{number}@{local}").try_into()?,
            content_type: Some("application/sdp".into()),
            offer: Some(sdp(local)),
            ..InviteOption::default()
        };
        let (dialog, response) = layer.do_invite(option, sender).await?;
        answered += usize::from(response.is_some_and(|it| it.status_code == StatusCode::OK));
        tokio::time::sleep(talk).await;
        dialog.bye().await?;
    }
    token.cancel();
    Ok(answered)
}
