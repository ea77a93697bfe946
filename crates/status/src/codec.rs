//! The codec of a server's generated code.

use std::fmt;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// tonic's codec for Protobuf, with `INVALID_ARGUMENT` for a request that is not valid Protobuf.
///
/// tonic's own codec says `INTERNAL`, a fault of the server, so a caller could page its operators.
/// Generated servers use this codec by `codec_path("vitalmesh_status::RequestCodec")`; clients keep
/// tonic's, because a malformed *response* is a fault of the server.
pub struct RequestCodec<T, U>(ProstCodec<T, U>);

/// The decoder of [`RequestCodec`].
pub struct RequestDecoder<U>(ProstDecoder<U>);

// === impl RequestCodec ===

impl<T, U> Default for RequestCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for RequestCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = RequestDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(self.0.decoder())
    }
}

impl<T, U> fmt::Debug for RequestCodec<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestCodec").finish_non_exhaustive()
    }
}

// === impl RequestDecoder ===

impl<U: Message + Default> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let decoded = self.0.decode(buf);
        decoded.map_err(|error| Status::invalid_argument(error.message()))
    }
}

impl<U> fmt::Debug for RequestDecoder<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestDecoder").finish_non_exhaustive()
    }
}
