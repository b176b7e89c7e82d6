//! Rules of services: images, environment, exposes, mounts and credentials.

use super::rules;

rules! {
    "image-empty" Sdl "The service names no image",
        "A service is an image that runs; without its name there is nothing to run.",
        "The name of a container image, best with a tag or digest.",
        good "image: nginx:1.27",
        bad "image: \"\"";
    "service-name" Manifest "The service's name is not allowed",
        "The name becomes a name in the cluster's DNS.",
        "Lower-case letters, digits and inner dashes, a letter first.",
        good "\"name\": \"cache\"",
        bad "\"name\": \"Cache\"";
    "env-name" Sdl "The environment variable's name is not allowed",
        "The cluster would refuse the container. Values are never repeated in messages.",
        "NAME=value, the name of letters, digits, '-', '.' and '_', no digit first, not '.' and not beginning with '..'.",
        good "- LOG_LEVEL=info",
        bad "- LOG LEVEL=info";
    "port-range" Sdl "The port is out of range",
        "Every expose needs the port on which its service listens.",
        "1 to 65535.",
        good "- port: 8080",
        bad "- port: 0";
    "unknown-protocol" Sdl "The protocol is not known",
        "An expose is by TCP or by UDP. HTTP is TCP with 80 as its external port.",
        "tcp or udp, in upper or lower case; tcp when there is none. In a manifest's JSON in upper case.",
        good "proto: tcp",
        bad "proto: http";
    "hostname" Sdl "The hostname is not allowed",
        "A hostname leads requests to the service, so it must be one that DNS and the ingress know.",
        "Labels of lower-case letters, digits and inner dashes, joined by dots, at most 253 characters: no scheme, port, path or wildcard.",
        good "- www.example.com",
        bad "- www.example.com:443";
    "duplicate-hostname" Sdl "The hostname stands twice",
        "Two exposes want the same hostname; requests could go to one of them only.",
        "Each hostname once in a deployment.",
        good "- www.example.com",
        bad "- example.com";
    "hostname-required" Manifest "The expose needs a hostname",
        "This provider gives no hostnames of its own, so an HTTP expose without one could not be reached.",
        "At least one hostname in the expose's accept (hosts in the manifest).",
        good "\"hosts\": [\"www.example.com\", \"example.com\"]",
        bad "\"hosts\": null";
    "http-option-range" Sdl "The HTTP option is too large",
        "The provider's proxy limits bodies, buffers and timeouts.",
        "max_body_size up to 104857600 bytes, proxy_buffer_size up to 1048576 bytes, read_timeout and send_timeout up to 60000 ms.",
        good "max_body_size: 1048576",
        bad "max_body_size: 1073741824";
    "next-case" Sdl "The case for trying the next replica is not known",
        "next_cases says on which failures the proxy asks another replica.",
        "error, timeout, 403, 404, 429, 500, 502, 503, 504; or off alone.",
        good "next_cases: [error, timeout]",
        bad "next_cases: [error, timout]";
    "ip-not-global" Sdl "The expose on a leased address is not global",
        "A leased address is reached from everywhere, so the expose must say so.",
        "global: true beside ip.",
        good "- ip: front\n  global: true",
        bad "- ip: front";
    "unknown-endpoint" Sdl "The expose names an address that does not exist",
        "The ip of an expose is the name of no endpoint.",
        "A name that stands below endpoints.",
        good "- ip: front",
        bad "- ip: frnt";
    "ip-port-collision" Sdl "Two exposes want the same port of an address",
        "Two exposes on one leased address have the same external port and protocol. In Go's reading two that name no external port collide too, whatever their own ports are; npm compares the ports that result.",
        "An external port (as) of its own for each expose on the address.",
        good "as: 54",
        bad "as: 53";
    "permission" SdlForNpm "The permission is not known",
        "A service may ask to read about its own deployment; what it can ask for is a closed list.",
        "deployment, logs, and in later versions events.",
        good "read: [logs]",
        bad "read: [secrets]";
    "credentials" Sdl "The credentials are not complete",
        "The provider signs in at the image's registry with them. Values are never repeated in messages.",
        "host, username and password, none of them blank; npm wants 6 characters of a password and 5 of an email.",
        good "username: reader",
        bad "username: \"\"";
    "tee" Sdl "The confidential computing type is not allowed",
        "The type is not known, asks for a GPU that the profile does not have, or differs from that of another service in the same placement.",
        "cpu, or cpu-gpu where the compute profile has GPU units; one type for each placement.",
        good "tee: cpu-gpu",
        bad "tee: gpu";
    "unknown-volume" Sdl "The mount names a volume that does not exist",
        "A key below params/storage is the name of no volume in the service's compute profile.",
        "A name of a volume in profiles/compute/…/resources/storage; one without a name is called default.",
        good "data:\n  mount: /var/lib/data",
        bad "dta:\n  mount: /var/lib/data";
    "mount-path" Sdl "The mount is not an absolute path",
        "A volume is mounted at a place in the container's file system.",
        "A path that begins with a slash.",
        good "mount: /var/lib/data",
        bad "mount: var/lib/data";
    "mount-missing" Sdl "A persistent volume is not mounted",
        "A volume that outlives restarts is of no use if no service mounts it. In version 2.0 Go's reading is content with a mount of any volume; npm wants one for each.",
        "An entry below the service's params/storage, named as the volume, with a mount.",
        good "storage:\n  data:\n    mount: /var/lib/data\n  scratch:\n    mount: /tmp/scratch",
        bad "storage: {}";
    "duplicate-mount" Sdl "Two volumes are mounted at the same path",
        "One of them would hide the other.",
        "A path of its own for each volume of a service.",
        good "mount: /tmp/scratch",
        bad "mount: /var/lib/data";
    "ram-read-only" Sdl "Storage in memory cannot be read-only",
        "A volume of class ram begins empty; read-only it would stay so. Checked in version 2.1.",
        "readOnly: false, or no readOnly.",
        good "mount: /tmp/scratch",
        bad "mount: /tmp/scratch\nreadOnly: true";
}
