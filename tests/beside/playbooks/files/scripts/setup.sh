#!/bin/sh
echo "$1-$2" > /srv/downloads/scripted
