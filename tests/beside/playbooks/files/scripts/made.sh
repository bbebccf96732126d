#!/bin/sh
echo made > /srv/scripted
