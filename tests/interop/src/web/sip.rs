//! As much SIP as carries descriptions: an INVITE and its 200, a re-INVITE, ACK and BYE. Nothing is sent again, since the loopback
//! loses nothing.

use std::net::SocketAddr;

use ringfleet::sip::message::{Message, Method};
use tokio::net::UdpSocket;

/// A request that came.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub call_id: String,
    pub body: String,
    raw: Vec<u8>,
    from: SocketAddr,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The next request.
pub async fn receive(socket: &UdpSocket) -> std::io::Result<Request> {
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let Ok(message) = Message::parse(&buffer[..length]) else { continue };
        let (Some(method), Some(call_id), None) = (message.method(), message.call_id(), message.code()) else {
            continue;
        };
        let (method, call_id, body) = (text(method.as_bytes()), text(call_id), text(message.body()));
        return Ok(Request { method, call_id, body, raw: buffer[..length].to_vec(), from });
    }
}

/// Answers a request 200, with a description where there is one.
pub async fn accept(socket: &UdpSocket, request: &Request, sdp: &str) -> std::io::Result<()> {
    let head = text(&request.raw);
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for line in head.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "v" | "from" | "f" | "call-id" | "i" | "cseq" => answer += &format!("{line}\r\n"),
            "to" | "t" if line.contains(";tag=") => answer += &format!("{line}\r\n"),
            "to" | "t" => answer += &format!("{line};tag=webrtc\r\n"),
            _ => {}
        }
    }
    let at = socket.local_addr()?;
    answer += &format!("Contact: <sip:webrtc@{at}>\r\n{}", ending(sdp));
    socket.send_to(answer.as_bytes(), request.from).await.map(drop)
}

fn ending(sdp: &str) -> String {
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// A call that we place.
#[derive(Debug)]
pub struct Caller {
    socket: UdpSocket,
    there: SocketAddr,
    number: String,
    call_id: String,
    to_tag: String,
    cseq: u32,
}

impl Caller {
    /// # Errors
    /// The system's.
    pub async fn new(there: SocketAddr, number: &str, call_id: String) -> std::io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (number, to_tag) = (number.to_owned(), String::new());
        Ok(Self { socket, there, number, call_id, to_tag, cseq: 0 })
    }

    async fn send(&mut self, method: Method<'_>, body: &str) -> std::io::Result<()> {
        let (at, there, id) = (self.socket.local_addr()?, self.there, &self.call_id);
        if method != Method::Ack {
            self.cseq += 1;
        }
        let (cseq, name, number, tag) = (self.cseq, text(method.as_bytes()), &self.number, &self.to_tag);
        let request = format!(
            "{name} sip:{number}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{id}{cseq}{name}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:webrtc@{at}>;tag={id}\r\nTo: <sip:{number}@{there}>{tag}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {name}\r\nContact: <sip:webrtc@{at}>\r\n{}",
            ending(body)
        );
        self.socket.send_to(request.as_bytes(), there).await.map(drop)
    }

    /// Sends an offer; the answer, once it is acknowledged.
    ///
    /// # Errors
    /// The system's, and any other final response than 200.
    pub async fn offer(&mut self, sdp: &str) -> std::io::Result<String> {
        self.send(Method::Invite, sdp).await?;
        let answer = self.response().await?;
        self.send(Method::Ack, "").await?;
        Ok(answer)
    }

    async fn response(&mut self) -> std::io::Result<String> {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let Ok(message) = Message::parse(&buffer[..length]) else { continue };
            let of_this = message.cseq().is_some_and(|(number, _)| number == self.cseq);
            match message.code().filter(|_| of_this) {
                Some(200) => {
                    if let Some(tag) = message.to().and_then(|to| to.tag().map(text)) {
                        self.to_tag = format!(";tag={tag}");
                    }
                    return Ok(text(message.body()));
                }
                Some(300..) => return Err(std::io::Error::other(text(&buffer[..length]))),
                _ => {}
            }
        }
    }

    /// Hangs up.
    ///
    /// # Errors
    /// The system's.
    pub async fn bye(&mut self) -> std::io::Result<()> {
        self.send(Method::Bye, "").await?;
        self.response().await.map(drop)
    }
}
