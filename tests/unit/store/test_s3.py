"""Content in S3 and keys in KMS, against moto: what is put comes back, what is deleted is gone, failures have names."""

import boto3
import pytest
from moto import mock_aws

from sekisho.errors import NotFound, StoreUnavailable
from sekisho.store.blobs.files import FileBlobs
from sekisho.store.blobs.kms import KmsKey
from sekisho.store.blobs.s3 import S3Blobs

REGION = "ap-northeast-1"
NAME = "ab" * 16


@pytest.fixture(autouse=True)
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


@pytest.fixture
def bucket():
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket="content", CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


@pytest.fixture(params=["files", "s3", "s3 without a prefix"])
def blobs(request, tmp_path, bucket):
    if request.param == "files":
        return FileBlobs(tmp_path)
    return S3Blobs("s3://content/a/b" if request.param == "s3" else "s3://content", REGION)


def test_blobs_keep_give_back_list_and_delete(blobs):
    blobs.put(NAME, b"one")
    blobs.put(NAME, b"two")
    blobs.put("cd" * 16, b"")
    assert (blobs.get(NAME), blobs.names()) == (b"two", [NAME, "cd" * 16])
    for _ in range(2):
        blobs.delete(NAME)
    assert blobs.names() == ["cd" * 16]
    with pytest.raises(NotFound):
        blobs.get(NAME)


def test_s3_is_asked_to_encrypt_with_the_key_that_is_named(bucket):
    S3Blobs("s3://content/x", REGION, "alias/content").put(NAME, b"one")
    kept = bucket.head_object(Bucket="content", Key=f"x/ab/{NAME}")
    assert kept["ServerSideEncryption"] == "aws:kms"
    assert kept["SSEKMSKeyId"].endswith("alias/content")


def test_a_bucket_that_is_not_there_is_a_store_that_is_down():
    blobs = S3Blobs("s3://nobody", REGION)
    for ask in (lambda: blobs.put(NAME, b"x"), lambda: blobs.get(NAME), blobs.names):
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            ask()


def test_kms_unwraps_a_key_only_for_the_team_it_was_wrapped_for():
    key_id = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["KeyId"]
    kms = KmsKey(key_id, REGION)
    wrapped = kms.wrap(b"k" * 32, b"org\0red")
    assert b"k" * 32 not in wrapped
    assert kms.unwrap(wrapped, b"org\0red") == b"k" * 32
    with pytest.raises(StoreUnavailable):
        kms.unwrap(wrapped, b"org\0blue")
