"""The paths of the services' methods, as HTTP/2 carries them; `operator.proto` says what each is for."""

ENROLL = "/anabranch.operator.v1.Access/Enroll"

LIST = "/anabranch.operator.v1.Ledger/List"
GET = "/anabranch.operator.v1.Ledger/Get"
EXPLAIN = "/anabranch.operator.v1.Ledger/Explain"
STATS = "/anabranch.operator.v1.Ledger/Stats"
ACCEPT = "/anabranch.operator.v1.Ledger/Accept"
RESTORE = "/anabranch.operator.v1.Ledger/Restore"
