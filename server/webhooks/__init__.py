"""Webhooks: approvers are told, by signed requests to addresses that the configuration names."""
