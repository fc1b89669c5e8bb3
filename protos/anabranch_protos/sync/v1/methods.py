"""The paths of the service's methods, as HTTP/2 carries them; `sync.proto` says what each is for."""

EXCHANGE = "/anabranch.sync.v1.Sync/Exchange"
ENROLL = "/anabranch.sync.v1.Sync/Enroll"
RENEW = "/anabranch.sync.v1.Sync/Renew"
SNAPSHOT = "/anabranch.sync.v1.Sync/Snapshot"
CHECK_IN = "/anabranch.sync.v1.Sync/CheckIn"
