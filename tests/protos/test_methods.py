"""Method paths as the shells name them are those of the .proto."""

from anabranch_protos.operator.v1 import methods as operator_methods
from anabranch_protos.operator.v1.operator_pb2 import DESCRIPTOR as OPERATOR_DESCRIPTOR
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import DESCRIPTOR


def test_every_method_of_the_service_has_its_path() -> None:
    service = DESCRIPTOR.services_by_name["Sync"]
    declared = {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert declared == {path for name, path in vars(methods).items() if name.isupper()}


def test_every_method_for_operators_has_its_path() -> None:
    declared = {
        f"/{service.full_name}/{method.name}"
        for service in OPERATOR_DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert declared == {path for name, path in vars(operator_methods).items() if name.isupper()}
